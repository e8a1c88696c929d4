//! Every answer is held against the OpenAPI document of the program that gave it: whether its status is told there, its
//! type, and each member of its body. So each story is a test of the document as well.
//!
//! The document leaves room for members that are still to come; here there is none ([`Closed`]), so that a member is found
//! which it does not tell of.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// A document, read once.
pub(crate) struct Contract {
    paths: Vec<Path>,
    /// What is answered where there is nothing.
    problem: Form,
}

struct Path {
    /// The parts of the address; `None` where a parameter stands.
    parts: Vec<Option<String>>,
    /// What is told of each status, by method in capitals.
    methods: BTreeMap<String, BTreeMap<u16, Told>>,
}

/// What is told of an answer: the types that its body may have, each with its form.
type Told = BTreeMap<String, Form>;

/// The form of a body.
pub struct Form {
    schema: Value,
    /// What it refers to.
    components: Arc<Map<String, Value>>,
    /// Made when it is asked for first: most answers never come.
    validator: OnceLock<Validator>,
}

impl Contract {
    /// Reads a document.
    pub(crate) fn new(document: &Value) -> Self {
        let closed = Closed::new(document);
        let told = |response: &Value| -> Told {
            let kinds = response["content"].as_object().into_iter().flatten();
            kinds.map(|(kind, content)| (kind.clone(), closed.form(&content["schema"]))).collect()
        };
        let statuses = |operation: &Value| {
            let responses = operation["responses"].as_object().expect("responses").iter();
            responses.map(|(status, response)| (status.parse().expect("a status"), told(response))).collect()
        };
        let path = |(path, item): (&String, &Value)| Path {
            parts: path.split('/').map(|part| (!part.starts_with('{')).then(|| part.to_owned())).collect(),
            methods: ["get", "post", "put", "patch", "delete"]
                .into_iter()
                .filter_map(|method| Some((method.to_uppercase(), statuses(item.get(method)?))))
                .collect(),
        };
        let problem = closed.form(&json!({ "$ref": "#/components/schemas/Problem" }));
        Self { paths: document["paths"].as_object().expect("paths").iter().map(path).collect(), problem }
    }

    /// The form of the body, if there is to be one; or what is not as the document tells. `kind` is the answer's
    /// `Content-Type`.
    pub(crate) fn form(&self, method: &str, path: &str, status: u16, kind: &str) -> Result<Option<&Form>, String> {
        let path = path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        // As in the program, an address that is spelled out comes before one with parameters.
        let paths = self.paths.iter().filter(|path| path.takes(&parts));
        let Some(known) = paths.min_by_key(|path| path.parts.iter().filter(|part| part.is_none()).count()) else {
            let elsewhere = !path.starts_with("/api/") || path.starts_with("/api/docs") || path == "/api/openapi.json";
            return match status {
                _ if elsewhere => Ok(None),
                404 => Ok((method != "HEAD").then_some(&self.problem)),
                _ => Err("the address is not in it".to_owned()),
            };
        };
        let Some(statuses) = known.methods.get(if method == "HEAD" { "GET" } else { method }) else {
            return match (method, status) {
                ("OPTIONS", 200) => Ok(None),
                (_, 405) => Ok(Some(&self.problem)),
                _ => Err("the method is not in it".to_owned()),
            };
        };
        let told = statuses.get(&status).ok_or("the status is not in it")?;
        let kind = kind.split(';').next().unwrap_or_default();
        if told.is_empty() && kind.is_empty() {
            return Ok(None);
        }
        let form = told.get(kind).ok_or_else(|| format!("the type {kind:?} is not in it"))?;
        Ok((kind.ends_with("json") && method != "HEAD").then_some(form))
    }
}

impl Path {
    fn takes(&self, parts: &[&str]) -> bool {
        let same = |(told, part): (&Option<String>, &&str)| told.as_ref().is_none_or(|told| told == part);
        self.parts.len() == parts.len() && self.parts.iter().zip(parts).all(same)
    }
}

impl Form {
    /// The form that a schema of the document asks for.
    ///
    /// # Panics
    /// If the document has no schemas.
    #[must_use]
    pub fn of(document: &Value, schema: &Value) -> Self {
        Closed::new(document).form(schema)
    }

    /// Holds a body against it.
    ///
    /// # Errors
    /// What is not as the document tells, and where.
    ///
    /// # Panics
    /// If the schema is none.
    pub fn hold(&self, body: &[u8]) -> Result<(), String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
        let validator = self.validator.get_or_init(|| {
            let mut schema = self.schema.clone();
            schema["components"] = json!({ "schemas": *self.components });
            let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
            options.build(&schema).expect("a schema")
        });
        let errors = validator.iter_errors(&body).take(3);
        let wrong: Vec<String> =
            errors.map(|error| format!("at {:?}: {error}", error.instance_path().as_str())).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }
}

/// Schemas whose objects have the members that are told, and no others.
struct Closed<'a> {
    /// As the document has them.
    told: &'a Map<String, Value>,
    components: Arc<Map<String, Value>>,
}

impl<'a> Closed<'a> {
    fn new(document: &'a Value) -> Self {
        let told = document["components"]["schemas"].as_object().expect("schemas");
        let mut closed = Self { told, components: Arc::default() };
        let components = told.iter().map(|(name, schema)| (name.clone(), closed.whole(schema))).collect();
        closed.components = Arc::new(components);
        closed
    }

    fn form(&self, schema: &Value) -> Form {
        Form { schema: self.whole(schema), components: self.components.clone(), validator: OnceLock::new() }
    }

    /// The schema of a value that nothing else tells of.
    fn whole(&self, schema: &Value) -> Value {
        let mut whole = self.part(schema);
        let tells_members = schema.get("properties").is_some() || schema.get("allOf").is_some();
        if tells_members && schema.get("additionalProperties").is_none() {
            whole["unevaluatedProperties"] = false.into();
        }
        whole
    }

    /// The same of a value of which more is told beside it: that is not to be closed alone.
    fn part(&self, schema: &Value) -> Value {
        let Value::Object(schema) = schema else { return schema.clone() };
        let each = |values: &Value, close: &dyn Fn(&Value) -> Value| -> Value {
            match values {
                Value::Array(values) => values.iter().map(close).collect(),
                Value::Object(values) => {
                    Value::Object(values.iter().map(|(name, value)| (name.clone(), close(value))).collect())
                }
                other => other.clone(),
            }
        };
        let whole = |value: &Value| self.whole(value);
        let open = |value: &Value| match value["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
            Some(name) => self.part(&self.told[name]),
            None => self.part(value),
        };
        let closed = schema.iter().map(|(keyword, value)| {
            let value = match keyword.as_str() {
                "properties" | "oneOf" | "anyOf" => each(value, &whole),
                "items" | "additionalProperties" => whole(value),
                "allOf" => each(value, &open),
                _ => value.clone(),
            };
            (keyword.clone(), value)
        });
        Value::Object(closed.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract() -> Contract {
        let thing = json!({ "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } } });
        let named = json!({ "allOf": [
            { "$ref": "#/components/schemas/Thing" },
            { "type": "object", "properties": { "name": { "type": "string" } } },
        ] });
        let problem = json!({ "type": "object", "required": ["error"], "properties": { "error": {} } });
        let answer = |name: &str| {
            let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
            json!({ "content": { "application/json": { "schema": { "type": "array", "items": schema } } } })
        };
        Contract::new(&json!({
            "components": { "schemas": { "Thing": thing, "Named": named, "Problem": problem } },
            "paths": {
                "/api/things/{id}": { "get": { "responses": { "200": answer("Thing") } } },
                "/api/things/named": { "get": { "responses": { "200": answer("Named"), "204": {} } } },
            },
        }))
    }

    fn hold(path: &str, body: &str) -> Result<(), String> {
        contract().form("GET", path, 200, "application/json; charset=utf-8")?.expect("a form").hold(body.as_bytes())
    }

    #[test]
    fn what_is_told_passes() {
        hold("/api/things/7?x=1", r#"[{"id":1}]"#).unwrap();
        hold("/api/things/named/", r#"[{"id":1,"name":"x"}]"#).unwrap();
        let contract = contract();
        assert!(contract.form("GET", "/api/things/named", 204, "").unwrap().is_none());
        assert!(contract.form("HEAD", "/api/things/7", 200, "application/json").unwrap().is_none());
        for (method, path, status) in [("POST", "/api/things/7", 405), ("GET", "/api/nothing", 404)] {
            let form = contract.form(method, path, status, "application/problem+json").unwrap().expect("a form");
            form.hold(br#"{"error":"x"}"#).unwrap();
            form.hold(b"{}").unwrap_err();
        }
        assert!(contract.form("GET", "/", 200, "text/html").unwrap().is_none());
    }

    #[test]
    fn a_body_that_is_not_told_is_found_with_its_place() {
        for (path, body, place) in [
            ("/api/things/7", r#"[{"id":1},{}]"#, "/1"),
            ("/api/things/7", r#"[{"id":"1"}]"#, "/0/id"),
            ("/api/things/7", r#"[{"id":1,"name":"x"}]"#, "/0"),
            ("/api/things/named", r#"[{"id":1,"other":"x"}]"#, "/0"),
            ("/api/things/named", r#"[{"id":1,"name":7}]"#, "/0/name"),
        ] {
            let wrong = hold(path, body).unwrap_err();
            assert!(wrong.contains(&format!("at {place:?}")), "{body}: {wrong}");
        }
        assert!(hold("/api/things/7", "[").unwrap_err().contains("no JSON"));
    }

    #[test]
    fn an_answer_that_is_not_told_is_found() {
        let contract = contract();
        let wrong = |method, path, status, kind| contract.form(method, path, status, kind).err().expect("a fault");
        assert_eq!(wrong("GET", "/api/things/7", 404, "application/json"), "the status is not in it");
        assert_eq!(wrong("GET", "/api/things/7", 200, "text/csv"), "the type \"text/csv\" is not in it");
        assert_eq!(wrong("POST", "/api/things/7", 201, "application/json"), "the method is not in it");
        assert_eq!(wrong("GET", "/api/nothing", 200, "application/json"), "the address is not in it");
    }
}
