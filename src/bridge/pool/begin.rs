//! What a caller has, and what is started for it.

use std::sync::Arc;

use crate::base::id::UserId;
use crate::bridge::naming::Naming;
use crate::bridge::pool::tenancy::Tenancy;
use crate::bridge::pool::{Lack, LeftOut, Own, Place, Pool, Tenancies};
use crate::bridge::session::Session;
use crate::bridge::tenant::Tenant;
use crate::bridge::upstream::Upstream;
use crate::config::section::{self, Isolation, UpstreamKind, Variable};
use crate::model::principal::Principal;

/// Whom something is for.
#[derive(Clone, Copy, Debug)]
pub struct Whom<'a> {
    /// The caller.
    pub principal: &'a Principal,
    /// The caller's session.
    pub session: Option<&'a Arc<Session>>,
}

impl Whom<'_> {
    fn tenant(&self, isolation: Isolation) -> Result<Tenant, Lack> {
        match isolation {
            Isolation::Shared => Ok(Tenant::Everybody),
            Isolation::PerUser => self.principal.user.clone().map(Tenant::Person).ok_or(Lack::Person),
            Isolation::PerSession => self.session.map(|session| Tenant::of_session(session)).ok_or(Lack::Session),
        }
    }
}

/// What is found in one place of the configuration.
enum Found {
    Upstream(Arc<Upstream>),
    Nothing(Lack),
    Unmade(Tenant),
}

impl Pool {
    /// What a caller has. What is the caller's own and not there yet is started, but not waited for.
    pub async fn of(&self, whom: Whom<'_>) -> Own {
        match &self.shared {
            Some(shared) => shared.clone(),
            None => Box::pin(self.begun(whom)).await,
        }
    }

    /// The same where not everybody has the same.
    async fn begun(&self, whom: Whom<'_>) -> Own {
        let mut all = self.look(whom);
        for (found, place) in all.iter_mut().zip(&self.places) {
            if let (Found::Unmade(tenant), Place::Isolated(number, settings)) = (&*found, place) {
                *found = match self.begin(*number, settings, tenant).await {
                    Ok(upstream) => Found::Upstream(upstream),
                    Err(lack) => Found::Nothing(lack),
                };
            }
        }
        self.put_together(all)
    }

    /// What a caller has already.
    #[must_use]
    pub fn there(&self, whom: Whom<'_>) -> Own {
        match &self.shared {
            Some(shared) => shared.clone(),
            None => self.put_together(self.look(whom)),
        }
    }

    fn look(&self, whom: Whom<'_>) -> Vec<Found> {
        let now = self.making.hub.clock.now();
        let mut state = self.lock();
        let mut look = |place: &Place| match place {
            Place::Shared(upstream) => Found::Upstream(Arc::clone(upstream)),
            Place::Isolated(number, settings) => match whom.tenant(settings.isolation) {
                Err(lack) => Found::Nothing(lack),
                Ok(tenant) => {
                    let key = (tenant, *number);
                    match state.all.get_mut(&key) {
                        Some(tenancy) => {
                            tenancy.used = now;
                            Found::Upstream(Arc::clone(&tenancy.upstream))
                        }
                        None => Found::Unmade(key.0),
                    }
                }
            },
        };
        self.places.iter().map(&mut look).collect()
    }

    fn put_together(&self, all: Vec<Found>) -> Own {
        let (mut upstreams, mut left_out) = (Vec::new(), Vec::new());
        for (found, place) in all.into_iter().zip(&self.places) {
            match (found, place) {
                (Found::Upstream(upstream), _) => upstreams.push(upstream),
                (Found::Nothing(lack), Place::Isolated(_, settings)) => {
                    left_out.push(LeftOut { name: settings.name.clone(), naming: self.naming(settings), lack });
                }
                (Found::Nothing(_) | Found::Unmade(_), _) => {}
            }
        }
        Own::new(upstreams, left_out)
    }

    /// Starts a tenant's own, unless somebody else just did.
    async fn begin(&self, place: usize, settings: &section::Upstream, tenant: &Tenant) -> Result<Arc<Upstream>, Lack> {
        let settings = self.fill(settings, tenant).await?;
        let hub = &self.making.hub;
        let mut state = self.lock();
        if let Some(tenancy) = state.all.get(&(tenant.clone(), place)) {
            return Ok(Arc::clone(&tenancy.upstream));
        }
        if let Tenant::Session { id, .. } = tenant
            && !hub.sessions.has(id)
        {
            // It ended while its request was on the way; what is begun now would have no end.
            return Err(Lack::Session);
        }
        if state.is_closed || !self.has_room(&state, &settings, tenant) {
            tracing::warn!(upstream = settings.name, person = ?tenant.person(), "no room for a connection of one's own");
            return Err(Lack::Room);
        }
        let naming = self.naming(&settings);
        let making = (hub, self.making.keeper.as_path());
        let upstream = Arc::new(Upstream::new((state.number(), tenant.clone()), &settings, naming, making));
        state.all.insert((tenant.clone(), place), Tenancy::begin(&upstream, hub));
        Ok(upstream)
    }

    /// The settings, with what they say of a person filled in.
    async fn fill(&self, settings: &section::Upstream, tenant: &Tenant) -> Result<section::Upstream, Lack> {
        let (UpstreamKind::Stdio(command), Tenant::Person(person)) = (&settings.kind, tenant) else {
            return Ok(settings.clone());
        };
        let email = match command.uses(Variable::Email) {
            true => self.making.addresses.find(person).await,
            false => None,
        };
        let find = |variable| match variable {
            Variable::Email => email.clone(),
            Variable::Sub => Some(person.as_str().to_owned()),
        };
        match command.for_person(find) {
            Ok(command) => Ok(section::Upstream { kind: UpstreamKind::Stdio(command), ..settings.clone() }),
            Err(fault) => {
                tracing::warn!(upstream = settings.name, %person, %fault, "a process cannot be started for somebody");
                Err(Lack::Unfit(fault.to_string()))
            }
        }
    }

    /// security.md 3.4: bounds on child processes. Those that are ending count until they are gone.
    fn has_room(&self, state: &Tenancies, settings: &section::Upstream, tenant: &Tenant) -> bool {
        let limits = &self.making.limits;
        let is_running = |tenancy: &&Tenancy| !tenancy.task.is_finished();
        let isolated = |tenancy: &&Tenancy| tenancy.upstream.tenant != Tenant::Everybody;
        let all = || state.all.values().chain(state.ending.iter().filter(is_running)).filter(isolated);
        if !matches!(settings.kind, UpstreamKind::Stdio(_)) {
            return all().filter(|tenancy| !tenancy.is_child()).count() < limits.connections;
        }
        let children = || all().filter(|tenancy| tenancy.is_child());
        let of_person = match tenant {
            Tenant::Session { person: Some(person), .. } => {
                children().filter(|other| is_session_of(&other.upstream.tenant, person)).count()
            }
            _ => 0,
        };
        children().count() < limits.children && of_person < limits.children_per_person
    }

    pub(super) fn naming(&self, settings: &section::Upstream) -> Naming {
        Upstream::naming_of(settings, self.places.len() > 1)
    }
}

fn is_session_of(tenant: &Tenant, person: &UserId) -> bool {
    matches!(tenant, Tenant::Session { .. }) && tenant.person() == Some(person)
}
