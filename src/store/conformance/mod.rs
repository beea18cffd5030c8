//! The suite that each back end must pass: records, transitions, concurrency.
//!
//! A back end brings a function that opens an empty store; [`suite`] makes one test of each case.

mod concurrency;
mod records;
mod sample;
mod transitions;

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::config::section::Storage;
use crate::store::{Sqlite, Store};

pub(super) use sample::{ACCESS_TOKEN_LIFETIME, NOW, POLICY, Sample, minutes};

/// A store under test, and what must live as long.
struct Subject {
    store: Arc<dyn Store>,
    _folder: Option<TempDir>,
}

fn memory() -> Subject {
    let store = Sqlite::open(&Storage::Memory, NOW, ACCESS_TOKEN_LIFETIME).unwrap();
    Subject { store, _folder: None }
}

fn file() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("mcp-bridge.db");
    let store = Sqlite::open(&Storage::Sqlite { path }, NOW, ACCESS_TOKEN_LIFETIME).unwrap();
    Subject { store, _folder: Some(folder) }
}

macro_rules! suite {
    ($back_end:ident: $($part:ident { $($case:ident)* })*) => {
        mod $back_end {
            $(mod $part {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    let subject = crate::store::conformance::$back_end();
                    crate::store::conformance::$part::$case(&subject.store).await;
                }
            )*})*
        }
    };
}

macro_rules! back_ends {
    ($($back_end:ident)*) => {$(
        suite! { $back_end:
            records {
                a_client_comes_back_as_it_was_added
                a_flow_comes_back_until_it_expires
                a_code_and_its_refresh_token_come_back_with_what_they_are_bound_to
                the_last_consent_counts
                a_document_is_the_last_that_was_kept
                a_key_set_is_the_last_that_was_found
                users_come_back_by_name
                people_come_back_as_they_were_last_described
                a_browser_session_comes_back_until_it_expires
                what_is_not_there_is_none
            }
            transitions {
                reg_17_only_clients_never_used_make_room
                reg_17_clients_whose_grants_have_ended_make_room_last
                reg_17_who_is_logging_in_makes_room_last
                reg_17_who_has_just_registered_is_about_to_log_in
                reg_17_a_flood_puts_out_itself_and_not_who_may_come_back
                clients_never_used_expire
                clients_whose_grants_have_ended_expire_when_that_is_wanted
                reg_26_who_registers_the_same_unused_is_known_again_where_nobody_manages_it
                reg_24_an_update_ends_what_was_built_on_what_it_replaced
                cimd_15_a_changed_document_ends_what_was_built_on_the_old_one
                a_removed_client_takes_everything_along
                a_flow_moves_on_from_where_it_was_found
                cons_10_a_flow_answers_once
                an_approval_that_fails_changes_nothing
                flows_are_bounded
                tok_1_a_replayed_code_revokes_its_grant
                tok_4_an_expired_code_gives_nothing
                rt_1_reuse_after_the_grace_revokes_the_grant
                rt_4_a_repeated_rotation_gives_the_same_successor
                rt_7_the_grace_ends_on_the_second
                an_expired_refresh_token_gets_no_grace
                a_chain_ends_with_the_absolute_lifetime
                a_successor_may_be_of_a_shorter_life
                rt_10_every_way_out_revokes_and_takes_pending_codes_along
                a_disabled_user_gets_no_code
                absent_users_are_out
                absent_clients_are_out
                absent_people_are_out_with_their_provider
                rt_10_a_client_is_granted_nothing_by_what_is_in_force_no_more
                rt_10_an_older_process_ends_only_what_it_saw_leave
                what_another_key_went_into_cannot_be_compared
                a_disabled_person_is_not_recorded
                who_was_disabled_or_removed_while_away_gets_no_code
                who_was_disabled_or_removed_meanwhile_gets_no_browser_session
                clean_up_ends_browser_sessions_and_keeps_people
                a_revoked_grant_is_listed_before_the_answer
                clean_up_keeps_what_reuse_detection_needs
                clean_up_removes_what_has_ended
                clean_up_removes_what_clients_used
                documents_of_clients_in_use_make_room_last
                key_sets_of_clients_in_use_make_room_last
                ema_6_an_assertion_gives_one_grant
                ema_who_is_disabled_gets_no_grant
                an_assertion_says_little_of_whom_others_described
                clean_up_removes_what_assertions_gave
                reg_17_the_operators_clients_never_make_room
                a_grant_is_listed_while_a_token_of_it_may_work
                rt_10_what_a_client_was_granted_ends_and_the_client_stays
                connections_are_the_grants_that_are_alive
                cons_9_a_disconnected_app_has_nothing_left
                signing_out_elsewhere_leaves_this_browser
                a_changed_password_signs_out_elsewhere
            }
            concurrency {
                tok_3_of_twenty_redemptions_of_one_code_exactly_one_wins
                rt_6_of_twenty_refreshes_of_one_token_all_get_the_same_successor
                rt_6_of_twenty_different_successors_one_is_stored
                cons_10_of_twenty_approvals_one_wins
                cimd_19_of_twenty_presentations_of_one_assertion_one_counts
                ema_6_of_twenty_presentations_of_one_assertion_one_is_granted
                fed_1_a_state_is_spent_once
                of_twenty_first_logins_of_one_person_one_account_is_made
                a_person_disabled_among_twenty_logins_stays_disabled
                of_twenty_registrations_for_the_last_place_nobody_used_is_lost
                a_failed_write_takes_no_other_along
            }
        }
    )*};
}

back_ends! { memory file }
