//! `server.oauth_server.builtin`: users of the file, and the looks of the pages they see.

use std::time::Duration;

use crate::base::secret::Secret;
use crate::base::username::canonical_username;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::value::name::{COLOR, USERNAME};
use crate::config::value::password_hash::{PASSWORD_HASH, unusual_cost};
use crate::config::value::scope::SCOPE;
use crate::config::value::url::LOGO;
use crate::protocol::oauth::scope::ScopeSet;

/// One of `builtin.users`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltinUser {
    /// `username`, as written.
    pub username: String,
    /// `password_hash`, `password_env` or `password_file`, exactly one.
    pub password: PasswordSource,
    /// `scopes`.
    pub scopes: ScopeSet,
    /// `email`.
    pub email: Option<String>,
    /// `disabled`.
    pub disabled: bool,
}

/// Where a user's password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// `password_hash`: a checked bcrypt or argon2id hash.
    Hash(Secret),
    /// The value of `password_env` or the content of `password_file` (one trailing line end removed): hashed at start.
    Plain(Secret),
}

/// `builtin.branding`: the words and colours of the pages.
#[derive(Clone, Debug)]
pub struct Branding {
    /// `page_title`.
    pub page_title: String,
    /// `heading`.
    pub heading: String,
    /// `subtitle`.
    pub subtitle: Option<String>,
    /// `username_label`.
    pub username_label: String,
    /// `password_label`.
    pub password_label: String,
    /// `button_text` of the login form.
    pub button_text: String,
    /// `footer_text`.
    pub footer_text: Option<String>,
    /// `primary_color`: `#rgb` or `#rrggbb`.
    pub primary_color: Option<String>,
    /// `secondary_color`: `#rgb` or `#rrggbb`.
    pub secondary_color: Option<String>,
    /// `logo_url`: https, or a `data:image/` URL.
    pub logo_url: Option<String>,
}

/// `builtin.lockout`: how much guessing at one account is slowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// `max_failures` for one account from one address within `window`.
    pub max_failures: u32,
    /// `window`.
    pub window: Duration,
}

/// `builtin`.
#[derive(Debug)]
pub(in crate::config) struct Builtin {
    pub users: Vec<BuiltinUser>,
    pub create_first_user: bool,
    pub branding: Branding,
    pub lockout: Lockout,
    pub session_lifetime: Duration,
}

impl Builtin {
    pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Self {
        let builtin = Self {
            users: reader.sections(
                "users",
                "People who can log in, beside those of `mcp-bridge user`.",
                BuiltinUser::read,
            ),
            create_first_user: reader.boolean(
                "create_first_user",
                false,
                "Without any user at start, one named admin is made, and its random password printed once.",
            ),
            branding: reader.section("branding", "The words and colours of the pages.", Branding::read),
            lockout: reader.section("lockout", "How much guessing at one account is slowed.", Lockout::read),
            session_lifetime: reader.value(
                "session_lifetime",
                &kind::DURATION,
                "12h",
                "How long a browser in which somebody logged in, here or at a provider, is not asked again. 0: never kept.",
            ),
        };
        for (index, user) in builtin.users.iter().enumerate() {
            // Without a name there was a fault already.
            let Some(name) = canonical_username(&user.username) else { continue };
            let mut before = builtin.users.iter().take(index);
            if before.any(|other| canonical_username(&other.username).as_ref() == Some(&name)) {
                let problem = format!("is `{name}` a second time (case and width do not count)");
                reader.fault(&format!("users[{index}].username"), Wrong::new(problem, "keep one of the two"));
            }
        }
        builtin
    }
}

impl BuiltinUser {
    fn read(reader: &mut Reader<'_>) -> Self {
        let username = reader.required("username", &USERNAME, "admin", "The name to log in with.").unwrap_or_default();
        reader.speak_of(format!("user `{}`", kind::shortened(&username)));
        let scopes = reader.optional_list("scopes", &SCOPE, "What the user may grant to clients, such as [mcp:read].");
        if scopes.is_none() || reader.is_empty("scopes") {
            let fix = "write [mcp:read] or [mcp:read, mcp:write]";
            reader.fault("scopes", Wrong::new("leaves nothing to grant, so that no client gets in", fix));
        }
        Self {
            password: PasswordSource::read(reader),
            username,
            scopes: scopes.unwrap_or_default().into_iter().collect(),
            email: reader.optional_text("email", "Shown on pages and given to upstreams that ask for it."),
            disabled: reader.boolean("disabled", false, "A disabled user cannot log in, and every grant is revoked."),
        }
    }
}

impl PasswordSource {
    fn read(reader: &mut Reader<'_>) -> Self {
        let hash = reader.optional("password_hash", &PASSWORD_HASH, "A bcrypt ($2a$, $2b$ or $2y$) or argon2id hash.");
        let variable = reader.secret_from_environment("password_env", "A variable with the password; hashed at start.");
        let file = reader.secret_from_file("password_file", "A file with the password; hashed at start.");
        reader.exactly_one(&["password_hash", "password_env", "password_file"]);
        if let Some(wrong) = hash.as_ref().and_then(unusual_cost) {
            reader.warn("password_hash", wrong);
        }
        let plain = variable.or(file);
        // bcrypt looks at 72 bytes: a longer password would be cut in silence.
        if plain.as_ref().is_some_and(|password| password.expose().len() > 72) {
            let wrong =
                Wrong::new("gives a password of more than 72 bytes", "choose a shorter one: bcrypt ignores the rest");
            reader.fault("password_env|password_file", wrong);
        }
        match (hash, plain) {
            (Some(hash), _) => Self::Hash(hash),
            (None, plain) => Self::Plain(plain.unwrap_or_else(|| Secret::new(""))),
        }
    }
}

impl Branding {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            page_title: reader.text("page_title", "Sign in", "The title of the browser's tab."),
            heading: reader.text("heading", "Sign in", "The heading of the login page."),
            subtitle: reader.optional_text("subtitle", "A line below the heading."),
            username_label: reader.text("username_label", "User name", "The label of the first field."),
            password_label: reader.text("password_label", "Password", "The label of the second field."),
            button_text: reader.text("button_text", "Sign in", "The words on the button."),
            footer_text: reader.optional_text("footer_text", "A line at the foot of every page."),
            primary_color: reader.optional("primary_color", &COLOR, "Colour of buttons: #rgb or #rrggbb, in quotes."),
            secondary_color: reader.optional("secondary_color", &COLOR, "Colour of links, in the same form."),
            logo_url: reader.optional("logo_url", &LOGO, "A picture above the heading: https, or data:image/…"),
        }
    }
}

impl Lockout {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            max_failures: reader.value(
                "max_failures",
                &kind::POSITIVE_COUNT,
                10,
                "Wrong passwords for one account from one address within the window.",
            ),
            window: reader.duration("window", "15m", "How long a wrong password is remembered."),
        }
    }
}
