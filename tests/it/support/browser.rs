//! A browser as far as the flow needs one: cookies, redirects within the site, forms, and the headers browsers send.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client as Http, Method, Response};

/// One browser with its own cookies.
pub struct Browser {
    http: Http,
    /// Cookies by name.
    pub cookies: BTreeMap<String, String>,
    /// What `Sec-Fetch-Site` says when the person types or is sent to an address; empty for an old browser that does not say.
    pub arrives: &'static str,
    /// What a proxy in front says of the browser's address.
    pub address: Option<&'static str>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Page {
    /// Where it was found: what the addresses in it are relative to.
    url: url::Url,
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its text.
    pub body: String,
}

impl Browser {
    /// A browser without cookies, in which a person opens addresses that a program on the machine hands over.
    pub fn new() -> Self {
        Self { http: super::client::http(), cookies: BTreeMap::new(), arrives: "none", address: None }
    }

    /// The same browser, in another tab at the same moment.
    pub fn copy(&self) -> Self {
        Self { http: self.http.clone(), cookies: self.cookies.clone(), arrives: self.arrives, address: self.address }
    }

    /// Forgets its connections, which end with the bridge that it was connected to.
    pub fn reconnect(&mut self) {
        self.http = super::client::http();
    }

    /// Goes to an address, and on along redirects within the same site.
    pub async fn open(&mut self, url: &str) -> Page {
        let site = self.arrives;
        let mut page = self.send(Method::GET, url, None, site).await;
        while page.status == 303 && page.location().starts_with(&origin(url)) {
            page = self.send(Method::GET, &page.location(), None, site).await;
        }
        page
    }

    /// Goes to an address because a page of another site, or a redirect from there, leads to it.
    pub async fn arrive(&mut self, url: &str) -> Page {
        let usual = std::mem::replace(&mut self.arrives, "cross-site");
        let page = self.open(url).await;
        self.arrives = usual;
        page
    }

    /// Sends the form of a page with these fields besides its hidden ones and what is ticked.
    pub async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let scopes = page.ticked();
        let mut all = fields.to_vec();
        if !fields.iter().any(|(name, _)| *name == "scope") {
            all.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
        }
        self.submit_only(page, &all).await
    }

    /// Sends the form of a page with these fields besides its token, and nothing that is ticked.
    pub async fn submit_only(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let csrf = page.csrf();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        let mut next = self.post(&page.action(), &all).await;
        while next.status == 303 {
            next = self.send(Method::GET, &next.location(), None, "same-origin").await;
        }
        next
    }

    /// Posts a form as a page of the site would.
    pub async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Page {
        self.send(Method::POST, url, Some(encoded(fields)), "same-origin").await
    }

    /// Posts a form as a page of another site would.
    pub async fn post_from(&mut self, site: &str, url: &str, fields: &[(&str, &str)]) -> Page {
        self.send(Method::POST, url, Some(encoded(fields)), site).await
    }

    async fn send(&mut self, method: Method, url: &str, form: Option<String>, site: &str) -> Page {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let mut request = self.http.request(method, url).header("accept", "text/html");
        if !site.is_empty() {
            request = request.header("sec-fetch-site", site);
        }
        if let Some(address) = self.address {
            request = request.header("x-forwarded-for", address);
        }
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        if let Some(form) = form {
            // Browsers hide the origin of a form whose page asks for no referrer.
            request =
                request.header("origin", "null").header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let response = request.send().await.unwrap();
        self.keep_cookies(&response);
        Page::read(response).await
    }

    fn keep_cookies(&mut self, response: &Response) {
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// Reads an answer to its end.
    pub async fn read(response: Response) -> Self {
        let (url, status, headers) = (response.url().clone(), response.status().as_u16(), response.headers().clone());
        Self { url, status, headers, body: response.text().await.unwrap() }
    }

    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Where `Location` leads; empty when it is not there.
    pub fn location(&self) -> String {
        match self.header("location") {
            "" => String::new(),
            location => self.url.join(location).unwrap().to_string(),
        }
    }

    /// Where the form goes.
    pub fn action(&self) -> String {
        self.url.join(&self.between("action=\"", "\"")).unwrap().to_string()
    }

    /// The scopes that the consent page offers and that are ticked, or the only one.
    pub fn ticked(&self) -> Vec<String> {
        let inputs = self.body.split("<input ").skip(1).filter_map(|rest| Some(rest.split_once('>')?.0));
        let scopes = inputs.filter(|input| input.contains("name=\"scope\""));
        let sent = scopes.filter(|input| input.contains("type=\"hidden\"") || input.ends_with(" checked"));
        let value = |input: &str| unescaped(input.split_once("value=\"")?.1.split_once('"')?.0).into();
        sent.filter_map(value).collect()
    }

    /// The form's hidden token.
    pub fn csrf(&self) -> String {
        self.between("name=\"csrf\" value=\"", "\"")
    }

    /// Where the link with this text leads.
    pub fn link(&self, text: &str) -> String {
        let (before, _) =
            self.body.split_once(&format!(">{text}</a>")).unwrap_or_else(|| panic!("no {text} in {self:?}"));
        let (_, rest) = before.rsplit_once("href=\"").unwrap_or_else(|| panic!("no link of {text} in {self:?}"));
        self.url.join(&unescaped(rest.split_once('"').unwrap().0)).unwrap().to_string()
    }

    /// The text between these two.
    pub fn text_between(&self, start: &str, end: &str) -> String {
        self.between(start, end)
    }

    /// Where the page takes the browser by itself.
    pub fn refresh(&self) -> String {
        self.between("http-equiv=\"refresh\" content=\"0;url=", "\"")
    }

    /// The answer's parameter of this name, from the address to which the page or the redirect takes the browser.
    pub fn answer(&self, name: &str) -> Option<String> {
        let target = if self.status == 303 { self.location() } else { self.refresh() };
        let target = url::Url::parse(&target).unwrap_or_else(|error| panic!("{error}: {target:?} of {self:?}"));
        target.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Whether anything would take the browser elsewhere.
    pub fn goes_nowhere(&self) -> bool {
        self.location().is_empty() && !self.body.contains("http-equiv=\"refresh\"")
    }

    fn between(&self, start: &str, end: &str) -> String {
        let (_, rest) = self.body.split_once(start).unwrap_or_else(|| panic!("no {start} in {self:?}"));
        unescaped(rest.split_once(end).unwrap().0)
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn origin(url: &str) -> String {
    url::Url::parse(url).unwrap().origin().ascii_serialization()
}

fn unescaped(html: &str) -> String {
    [("&#38;", "&"), ("&amp;", "&"), ("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'")]
        .into_iter()
        .fold(html.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

/// A client that follows no redirect, so that a test sees each.
pub fn without_redirects() -> Policy {
    Policy::none()
}
