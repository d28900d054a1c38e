//! A small XML parser for tests of SVG charts; a document that is not well-formed fails the test.

use std::collections::BTreeMap;

/// An element, in document order.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The text directly inside the element.
    pub(crate) text: String,
}

impl Element {
    pub(crate) fn number(&self, attribute: &str) -> f64 {
        let value = self.attributes.get(attribute);
        let value = value.unwrap_or_else(|| panic!("no {attribute} in {self:?}"));
        value.parse().unwrap_or_else(|_| panic!("{attribute} of {self:?} is no number"))
    }

    pub(crate) fn has(&self, name: &str, class: &str) -> bool {
        self.name == name && self.attributes.get("class").is_some_and(|own| own == class)
    }
}

/// The elements of a document.
pub(crate) fn parse(document: &str) -> Vec<Element> {
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut rest = document;
    while let Some((text, after)) = rest.split_once('<') {
        match open.last() {
            Some(inside) => elements[*inside].text.push_str(&unescape(text)),
            None => assert!(text.trim().is_empty(), "text outside of all elements: {text}"),
        }
        let (tag, after) = after.split_once('>').expect("a tag has an end");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            let inside = open.pop().expect("an element is open");
            assert_eq!(elements[inside].name, name, "closes the element that is open");
            continue;
        }
        assert!(!open.is_empty() || elements.is_empty(), "one element contains all others");
        let content = tag.strip_suffix('/');
        if content.is_none() {
            open.push(elements.len());
        }
        elements.push(element(content.unwrap_or(tag)));
    }
    assert!(open.is_empty(), "all elements are closed");
    assert!(rest.trim().is_empty(), "there is no text after the last element");
    elements
}

fn element(tag: &str) -> Element {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut element = Element { name: name.to_owned(), ..Element::default() };
    while !rest.trim().is_empty() {
        let (key, after) = rest.split_once("=\"").expect("an attribute has a value");
        let (value, after) = after.split_once('"').expect("a value has an end");
        assert!(!value.contains('<'), "{value}");
        let twice = element.attributes.insert(key.trim().to_owned(), unescape(value));
        assert!(twice.is_none(), "{key} twice in {tag}");
        rest = after;
    }
    element
}

fn unescape(text: &str) -> String {
    let is_sound = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'));
    assert!(text.chars().all(is_sound), "{text:?}");
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, after) = part.split_once(';').expect("an entity has an end");
        plain.push_str(match entity {
            "amp" => "&",
            "lt" => "<",
            "gt" => ">",
            "quot" => "\"",
            "#39" => "'",
            _ => panic!("&{entity}; is not known"),
        });
        plain.push_str(after);
    }
    plain
}
