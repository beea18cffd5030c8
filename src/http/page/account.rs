//! The pages of a person's own account.

use askama::Template;

use crate::config::section::Branding;
use crate::http::page::client_name::ClientName;
use crate::http::page::consent::ScopeLine;
use crate::http::page::target::Target;
use crate::http::page::when::When;
use crate::identity::OwnPassword;

/// The page with everything. Its forms send `csrf` and `client`, or `browser`; that for signing out everywhere else sends
/// `csrf` alone.
#[derive(Template)]
#[template(path = "account.html")]
pub struct AccountPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// Who is signed in.
    pub person: &'a str,
    /// What has just been done.
    pub notice: Option<&'a str>,
    /// The apps.
    pub apps: &'a [AppCard<'a>],
    /// The browsers, this one first.
    pub browsers: &'a [BrowserCard],
    /// Where the password is kept.
    pub password: &'a OwnPassword,
    /// The value of the hidden field `csrf`.
    pub csrf: &'a str,
    /// That of the form for signing out here.
    pub sign_out_csrf: &'a str,
}

/// One app.
pub struct AppCard<'a> {
    /// `client_id`.
    pub id: &'a str,
    /// What it calls itself.
    pub name: Option<ClientName>,
    /// The host that vouches for that.
    pub vouched_by: Option<&'a str>,
    /// Where it was last answered.
    pub target: Option<Target>,
    /// What it may do.
    pub scopes: Vec<ScopeLine<'a>>,
    /// Since when it has access, if it has.
    pub connected: Option<When>,
    /// When it was last at work; or when the person last said yes, if it has no access.
    pub used: When,
}

impl AppCard<'_> {
    /// What it is called in one line: by what vouches for it, as on the consent page, never by the name it chose.
    fn title(&self) -> String {
        match (self.vouched_by, &self.target) {
            (Some(host), _) => host.to_owned(),
            (None, Some(Target::Site { host })) => host.clone(),
            (None, Some(Target::Loopback { .. })) => "A program on a computer of yours".to_owned(),
            (None, Some(Target::Scheme { scheme })) => format!("The app that opens {scheme}: links"),
            (None, None) => "An app".to_owned(),
        }
    }
}

/// One browser.
pub struct BrowserCard {
    /// Tells it from others.
    pub id: String,
    /// What people call it.
    pub device: String,
    /// When the person signed in.
    pub since: When,
    /// When the person was last seen there.
    pub used: When,
    /// Whether it is the one that shows the page.
    pub is_this: bool,
}

impl AccountPage<'_> {
    /// Whether there are others.
    fn is_elsewhere(&self) -> bool {
        self.browsers.iter().any(|browser| !browser.is_this)
    }
}

/// The page on which a person changes the password. Its form sends `csrf`, `old`, `new`, `again` and `disconnect`.
#[derive(Template)]
#[template(path = "password.html")]
pub struct PasswordPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// Whose password it is.
    pub person: &'a str,
    /// The user name, for the browser's own keeper of passwords.
    pub username: &'a str,
    /// Why the attempt before failed, and in which field.
    pub error: Option<(&'a str, PasswordField)>,
    /// How many characters a new password has at least.
    pub shortest: usize,
    /// The value of the hidden field `csrf`.
    pub csrf: &'a str,
}

/// A field of that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordField {
    /// None in particular.
    None,
    /// The password until now.
    Old,
    /// The new one.
    New,
    /// The new one, again.
    Again,
}

impl PasswordPage<'_> {
    fn is_wrong(&self, field: &str) -> bool {
        let wrong = self.error.map_or(PasswordField::None, |(_, wrong)| wrong);
        match field {
            "old" => wrong == PasswordField::Old,
            "new" => wrong == PasswordField::New,
            _ => wrong == PasswordField::Again,
        }
    }
}
