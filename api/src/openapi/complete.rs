//! What follows for each operation from its method, its address and its parameters.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi as Document, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Type,
};

use super::{REQUIRED_RIGHT, examples, operations};

/// Adds, for what passes the gate, the headers that it takes and the refusals that can come of it.
pub(crate) fn refusals(document: &mut Document) {
    for (path, method, operation) in operations(document) {
        let keyed = method == "post" && crate::idempotency::is_taken(path);
        if !is_open(operation) {
            let any = ObjectBuilder::new().schema_type(Type::String);
            ask(operation, "X-Session-Id", any, "The session; if it is not the token's, the answer is 401.");
        }
        if keyed {
            let key = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255));
            let key = key.pattern(Some("^[ -~]+$"));
            ask(operation, "Idempotency-Key", key, "For 24 hours the same key gets the same answer.");
        }
        let named = operation.parameters.iter().flatten().next().is_some();
        if named || operation.request_body.is_some() {
            add(operation, "400", "A member is missing or wrong; `errors` names it.");
        }
        if path.contains('{') {
            add(operation, "404", "There is none such.");
        }
        if operation.request_body.is_some() || keyed {
            add(operation, "408", "The body did not arrive in time.");
            add(operation, "413", "The body is too large.");
        }
        if operation.request_body.is_some() {
            add(operation, "415", "The body is not of a type that is taken.");
        }
        if keyed {
            add(operation, "409", "A request with this `Idempotency-Key` is not answered yet.");
            add(operation, "422", "This `Idempotency-Key` was used for another request.");
            answer_header(operation, "Idempotency-Replayed", "`true`: this was answered before.");
        }
        add(operation, "429", "Too many requests; `Retry-After` tells when to come back.");
        add(operation, "500", "A fault of the server; whether something was done is not known.");
        add(operation, "503", "Nothing was done; try again.");
        add(operation, "507", "There is no room; nothing was done.");
    }
}

/// Adds what holds for all operations.
pub(crate) fn complete(mut document: Document) -> Document {
    for (path, method, operation) in operations(&mut document) {
        let words: Vec<&str> = path.trim_start_matches("/api/").split(['/', '-']).collect();
        operation.operation_id = Some(format!("{method}_{}", words.join("_").replace(['{', '}'], "")));
        require(operation);
        or_nothing(operation);
        describe(operation);
        answer_headers(operation);
    }
    examples::add(&mut document);
    document
}

/// Whether the operation can do without a token.
fn is_open(operation: &Operation) -> bool {
    operation.security.iter().flatten().any(|needed| *needed == SecurityRequirement::default())
}

fn ask(operation: &mut Operation, name: &str, kind: ObjectBuilder, text: &str) {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
    let parameter = parameter.description(Some(text)).schema(Some(kind)).build();
    operation.parameters.get_or_insert_default().push(RefOr::T::<Parameter>(parameter));
}

/// Adds an answer, unless the operation has told of it in words of its own.
fn add(operation: &mut Operation, status: &str, text: &str) {
    let plain = || RefOr::T(ResponseBuilder::new().description(text).build());
    operation.responses.responses.entry(status.to_owned()).or_insert_with(plain);
}

/// Takes the right from the refusal that it brings along to the operation.
fn require(operation: &mut Operation) {
    let Some(RefOr::T(forbidden)) = operation.responses.responses.get_mut("403") else { return };
    let right = forbidden.extensions.take_if(|extensions| extensions.contains_key(REQUIRED_RIGHT));
    if let Some(right) = right {
        operation.extensions.get_or_insert_default().merge(right);
    }
}

/// A body that may be absent is an object where there is one: `null` is none.
fn or_nothing(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        let Some(RefOr::T(Schema::OneOf(either))) = &content.schema else { continue };
        let object = either.items.iter().find(|item| matches!(item, RefOr::Ref(_))).cloned();
        if object.is_some() {
            content.schema = object;
        }
    }
}

/// Words for what has none, and the body that all errors have.
fn describe(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with('2') {
            if response.description.is_empty() {
                response.description = if status == "201" { "Made." } else { "Done." }.to_owned();
            }
        } else if response.content.is_empty() {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            response.content.insert("application/problem+json".to_owned(), RefOr::T(body));
        }
        if matches!(status.as_str(), "429" | "503" | "507") {
            header(response, "Retry-After", Type::Integer, "When to come back, in seconds.");
        }
    }
}

/// Lists: pages, their links, and their other form.
fn answer_headers(operation: &mut Operation) {
    let takes = |name: &str| {
        let mut names = operation.parameters.iter().flatten();
        names.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == name))
    };
    let (paged, formed) = (takes("cursor"), takes("format"));
    if paged {
        answer_header(operation, "Link", "`<…>; rel=\"next\"`: the next page, if there is one.");
    }
    let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") else { return };
    if formed {
        let text = ObjectBuilder::new().schema_type(Type::String);
        response.content.insert("text/csv".to_owned(), RefOr::T(ContentBuilder::new().schema(Some(text)).build()));
    }
}

/// A header of the answers that are successes.
fn answer_header(operation: &mut Operation, name: &str, text: &str) {
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with('2'), response) {
            header(response, name, Type::String, text);
        }
    }
}

fn header(response: &mut Response, name: &str, kind: Type, text: &str) {
    let kind = ObjectBuilder::new().schema_type(kind);
    let header = HeaderBuilder::new().schema(Some(kind)).description(Some(text)).build();
    response.headers.insert(name.to_owned(), header.into());
}
