//! Whether a URI could come from a template. [RFC 6570](https://www.rfc-editor.org/rfc/rfc6570)

/// A template, as far as it tells which URIs it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// `{name}`: some characters, no slash (RFC 6570 §3.2.2 encodes it).
    Segment,
    /// Any other expression: any run of characters, or none.
    Any,
}

impl UriTemplate {
    /// Reads a template. Braces that do not pair are taken as they stand.
    #[must_use]
    pub fn parse(template: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((literal, after)) = rest.split_once('{') {
            let Some((expression, tail)) = after.split_once('}') else { break };
            parts.push(Part::Literal(literal.to_owned()));
            let is_simple = !expression.starts_with(['+', '#', '.', '/', ';', '?', '&']) && !expression.ends_with('*');
            parts.push(if is_simple { Part::Segment } else { Part::Any });
            rest = tail;
        }
        parts.push(Part::Literal(rest.to_owned()));
        Self(parts)
    }

    /// Whether the template could make this URI.
    #[must_use]
    pub fn makes(&self, uri: &str) -> bool {
        // The places up to which the parts so far can reach: work is bounded by parts times length.
        let mut reached = vec![false; uri.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for part in &self.0 {
            reached = step(part, uri.as_bytes(), &reached);
        }
        reached.last().copied().unwrap_or(false)
    }
}

fn step(part: &Part, uri: &[u8], from: &[bool]) -> Vec<bool> {
    let mut to = vec![false; from.len()];
    let mut running = false;
    for (at, is_start) in from.iter().copied().enumerate() {
        match part {
            Part::Literal(literal) => {
                let end = at + literal.len();
                if is_start
                    && uri.get(at..end) == Some(literal.as_bytes())
                    && let Some(place) = to.get_mut(end)
                {
                    *place = true;
                }
            }
            Part::Any => {
                running |= is_start;
                set(&mut to, at, running);
            }
            Part::Segment => {
                // `running`: a run began before this place and holds no slash.
                let before = at.checked_sub(1);
                let byte = before.and_then(|before| uri.get(before));
                let began = before.and_then(|before| from.get(before)).copied().unwrap_or(false);
                running = (running || began) && byte.is_some_and(|byte| *byte != b'/');
                set(&mut to, at, running);
            }
        }
    }
    to
}

fn set(places: &mut [bool], at: usize, value: bool) {
    if let Some(place) = places.get_mut(at) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_found_by_its_template() {
        let makes = |template: &str, uri: &str| UriTemplate::parse(template).makes(uri);
        for (template, uri) in [
            ("file:///{path}", "file:///a.txt"),
            ("file:///{+path}", "file:///a/b"),
            ("db://{table}/{id}/x", "db://t/7/x"),
            ("a{?q,r}", "a?q=1"),
            ("a{?q}", "a"),
            ("x:{a}-{b}", "x:1-2-3"),
            ("plain:", "plain:"),
            ("odd{", "odd{"),
        ] {
            assert!(makes(template, uri), "{template} {uri}");
        }
        for (template, uri) in [
            ("file:///{path}", "file:///a/b"),
            ("file:///{path}", "file:///"),
            ("db://{table}/{id}/x", "db://t/x"),
            ("a{?q}", "b"),
            ("plain:", "plain:x"),
        ] {
            assert!(!makes(template, uri), "{template} {uri}");
        }
    }
}
