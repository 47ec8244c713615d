//! `rest_get()`, `rest_post()`, `rest_put()`: a request, and its answer into variables.

use seawall_http::{Failure, Method, Request, Response};
use seawall_script::{Call, Flow, Output, Value};

use crate::context::Context;
use crate::waiting::{Answer, Errand};

/// Nothing of the kind is expected.
const INTERNAL_ERROR: Flow = Flow::Value(-10);

/// How much longer than `curl_timeout` a script waits, in milliseconds: the answer has to find its worker.
const MARGIN_MS: u64 = 1_000;

/// The type of a body when the script says none.
const FORM: &str = "application/x-www-form-urlencoded";

/// Bodies longer than this get an Expect with `enable_expect_100` (rest_client 1.4.10).
const EXPECT_BYTES: usize = 1024;

/// The variables that get an answer.
struct Outputs {
    body: Option<Output>,
    content_type: Option<Output>,
    status: Option<Output>,
}

pub(super) fn get(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    transfer(context, call, Method::Get)
}

pub(super) fn post(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    transfer(context, call, Method::Post)
}

pub(super) fn put(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    transfer(context, call, Method::Put)
}

fn transfer(context: &mut Context, call: &mut Call<'_, Context>, method: Method) -> Flow {
    let headers = std::mem::take(&mut context.rare.http_headers);
    let first = if method == Method::Get { 1 } else { 3 };
    let outputs = Outputs {
        body: call.output(context, first),
        content_type: call.output(context, first + 1),
        status: call.output(context, first + 2),
    };
    let configuration = std::sync::Arc::clone(&context.configuration);
    let Some(settings) = &configuration.settings.rest_client else { return INTERNAL_ERROR };
    let Some(url) = call.str(0).and_then(|url| std::str::from_utf8(url).ok()) else { return INTERNAL_ERROR };
    let mut request = Request::new(method, url, settings.timeout);
    request.headers = headers;
    request.answer_bytes = settings.answer_bytes;
    if method != Method::Get {
        request.body = call.str(1).unwrap_or_default().to_vec();
        let given = call.str(2).map(|given| String::from_utf8_lossy(given).into_owned());
        request = request.header("Content-Type", given.unwrap_or_else(|| FORM.to_owned()));
        if settings.expect_100 && request.body.len() > EXPECT_BYTES {
            request = request.header("Expect", "100-continue");
        }
    }
    let own = settings.clone();
    let task = async move {
        let answer = match own.client() {
            Some(client) => client.send(request).await,
            None => Err(Failure::Unusable("its certificates cannot be read")),
        };
        let answer: Answer = Box::new(answer);
        answer
    };
    let patience_ms =
        u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX).saturating_add(MARGIN_MS);
    context.wait_or_launch(call, Errand::Task(Box::pin(task)), patience_ms, move |context, answer| {
        let answer = answer.and_then(|answer| answer.downcast::<Result<Response, Failure>>().ok());
        finish(context, outputs, answer.map(|answer| *answer))
    })
}

/// Writes the variables; the value of the function.
fn finish(context: &mut Context, outputs: Outputs, answer: Option<Result<Response, Failure>>) -> Flow {
    let (code, response) = match answer {
        Some(Ok(response)) => (1, response),
        Some(Err(failure)) => {
            tracing::warn!("rest_client: {failure}");
            match failure {
                Failure::Connect(_) => (-1, Response::default()),
                Failure::ConnectTimeout => (-2, Response::default()),
                Failure::Timeout(partial) => (-3, *partial),
                Failure::Unusable(_) | Failure::TooLong | Failure::Broken(_) => (-10, Response::default()),
            }
        }
        None => (-3, Response::default()),
    };
    let answered = response.status != 0;
    let text = |bytes: &[u8]| if answered { Value::str(bytes) } else { Value::Null };
    let content_type = response.content_type.as_deref().map_or(Value::Null, Value::str);
    let values = [
        (outputs.body, text(&response.body)),
        (outputs.content_type, content_type),
        (outputs.status, Value::Int(i64::from(response.status))),
    ];
    context.rare.outputs.extend(values.into_iter().filter_map(|(output, value)| Some((output?, value))));
    Flow::Value(code)
}
