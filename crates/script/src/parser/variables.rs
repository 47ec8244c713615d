//! Variables and format strings: `$ru`, `$hdr(x)`, `$(<reply>hdr(Contact)[0]{nameaddr.uri}{uri.host})`.

use crate::ast::{FormatPart, Index, Transformation, Var, Word};
use crate::call::Context;
use crate::diagnostics::Span;
use crate::limits;
use crate::text::Text;

/// Why a variable could not be read, and where.
pub(crate) type VarError = (Span, &'static str);

/// Reads the variable that starts with the `$` at `at`; gives it and the index behind it. `index` says whether a bracket right
/// behind belongs to it: in an expression it does, in a format string it is text.
pub(crate) fn variable(text: &Text, at: usize, index: bool, depth: usize) -> Result<(Var, usize), VarError> {
    if depth > limits::VARIABLE_NESTING {
        return Err((text.place(at, at + 1), "variables are nested too deeply"));
    }
    let reader = Reader { text, at: at + 1, depth };
    match reader.peek() {
        Some(b'(') => reader.enclosed(at),
        Some(b'$') => Ok((constant_dollar(text, at), at + 2)),
        _ => reader.plain(at, index),
    }
}

/// Takes a format string apart. `known` tells variable names: `$rd.` is `$rd` and a dot. A `$` before anything that cannot start
/// a name is text.
pub(crate) fn format(
    text: &Text,
    known: &dyn Fn(&str) -> bool,
    depth: usize,
) -> (Vec<FormatPart>, Vec<VarError>) {
    let mut parts = Vec::new();
    let mut errors = Vec::new();
    let mut literal = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.bytes.get(at).copied() {
        let next = text.bytes.get(at + 1).copied();
        let starts = next.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b'(');
        if byte == b'$' && next == Some(b'$') {
            literal.push(b'$');
            at += 2;
        } else if byte == b'$' && starts {
            match variable(text, at, false, depth + 1) {
                Ok((mut var, mut end)) => {
                    end -= cut_at_dot(&mut var, known);
                    if !literal.is_empty() {
                        parts.push(FormatPart::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(FormatPart::Var(var));
                    at = end;
                }
                Err(error) => {
                    errors.push(error);
                    at += 1;
                }
            }
        } else {
            literal.push(byte);
            at += 1;
        }
    }
    if !literal.is_empty() {
        parts.push(FormatPart::Text(literal));
    }
    (parts, errors)
}

/// Shortens the name of a plain variable at its dots until it is known; gives the number of bytes given back.
fn cut_at_dot(var: &mut Var, known: &dyn Fn(&str) -> bool) -> usize {
    if var.enclosed || var.inner.is_some() || known(&var.name.text) {
        return 0;
    }
    let mut name = var.name.text.as_str();
    while let Some(dot) = name.rfind('.') {
        name = name.get(..dot).unwrap_or_default();
        if known(name) || !name.contains('.') {
            let given_back = var.name.text.len() - name.len();
            var.name.text = name.to_string();
            let shorter = u32::try_from(given_back).unwrap_or(0);
            var.name.span.end = var.name.span.end.saturating_sub(shorter);
            var.span.end = var.span.end.saturating_sub(shorter);
            return given_back;
        }
    }
    0
}

fn constant_dollar(text: &Text, at: usize) -> Var {
    let span = text.place(at, at + 2);
    Var {
        name: Word { text: "$".into(), span },
        context: Context::Own,
        inner: None,
        index: None,
        transformations: Vec::new(),
        enclosed: true,
        span,
    }
}

struct Reader<'a> {
    text: &'a Text,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.bytes.get(self.at).copied()
    }

    fn error<T>(&self, start: usize, message: &'static str) -> Result<T, VarError> {
        Err((self.text.place(start, (start + 1).max(self.at)), message))
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn plain(mut self, start: usize, index: bool) -> Result<(Var, usize), VarError> {
        let name = self.name(start)?;
        let inner = self.inner()?;
        let found = if index && self.peek() == Some(b'[') { Some(self.index()?) } else { None };
        let span = self.text.place(start, self.at);
        let var = Var {
            name,
            context: Context::Own,
            inner,
            index: found,
            transformations: Vec::new(),
            enclosed: false,
            span,
        };
        Ok((var, self.at))
    }

    fn enclosed(mut self, start: usize) -> Result<(Var, usize), VarError> {
        self.at += 1;
        self.skip_space();
        let context = self.context()?;
        self.skip_space();
        let name = if self.peek() == Some(b'$') {
            // `$($)` and `$($$)` are a dollar sign with transformations.
            let from = self.at;
            while self.peek() == Some(b'$') {
                self.at += 1;
            }
            Word { text: "$".into(), span: self.text.place(from, self.at) }
        } else {
            self.name(start)?
        };
        let inner = self.inner()?;
        self.skip_space();
        let index = if self.peek() == Some(b'[') { Some(self.index()?) } else { None };
        self.skip_space();
        let mut transformations = Vec::new();
        while self.peek() == Some(b'{') {
            transformations.push(self.transformation()?);
            self.skip_space();
        }
        if self.peek() != Some(b')') {
            self.at = start;
            return Err((
                self.text.place(start, start + 2),
                "this `$(` has no `)`, or something odd before it",
            ));
        }
        self.at += 1;
        let span = self.text.place(start, self.at);
        Ok((Var { name, context, inner, index, transformations, enclosed: true, span }, self.at))
    }

    fn context(&mut self) -> Result<Context, VarError> {
        if self.peek() != Some(b'<') {
            return Ok(Context::Own);
        }
        let start = self.at;
        let rest = self.text.bytes.get(self.at..).unwrap_or_default();
        for (word, context) in [(&b"<request>"[..], Context::Request), (&b"<reply>"[..], Context::Reply)] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(context);
            }
        }
        self.error(start, "the context of a variable is `<request>` or `<reply>`")
    }

    fn name(&mut self, dollar: usize) -> Result<Word, VarError> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            self.at += 1;
        }
        while self.at > start && self.text.bytes.get(self.at - 1) == Some(&b'.') {
            self.at -= 1;
        }
        if self.at == start {
            return self.error(dollar, "a variable needs a name behind the `$`");
        }
        let part = self.text.part(start, self.at);
        Ok(Word { text: part.to_string_lossy(), span: part.span })
    }

    /// What stands in the parentheses, up to the one that matches.
    fn inner(&mut self) -> Result<Option<Text>, VarError> {
        if self.peek() != Some(b'(') {
            return Ok(None);
        }
        let start = self.at;
        let mut depth = 0;
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(Some(self.text.part(start + 1, self.at - 1).trim()));
            }
        }
        self.at = start;
        self.error(start, "this `(` has no `)`")
    }

    fn index(&mut self) -> Result<Index, VarError> {
        let start = self.at;
        self.at += 1;
        self.skip_space();
        let index = match self.peek() {
            Some(b'*') => {
                self.at += 1;
                Index::All
            }
            Some(b'$') => {
                let (var, end) = variable(self.text, self.at, true, self.depth + 1)?;
                self.at = end;
                Index::Var(Box::new(var))
            }
            Some(byte) if byte.is_ascii_alphabetic() => Index::Word(self.name(start)?),
            _ => {
                let from = self.at;
                if self.peek() == Some(b'-') || self.peek() == Some(b'+') {
                    self.at += 1;
                }
                while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                    self.at += 1;
                }
                let digits = self.text.part(from, self.at);
                match crate::value::parse_decimal(&digits.bytes) {
                    Some(number) => Index::Int(number),
                    None => return self.error(start, "an index is a number, a variable or `*`"),
                }
            }
        };
        self.skip_space();
        if self.peek() != Some(b']') {
            return self.error(start, "this `[` has no `]`");
        }
        self.at += 1;
        Ok(index)
    }

    fn transformation(&mut self) -> Result<Transformation, VarError> {
        let start = self.at;
        self.at += 1;
        self.skip_space();
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
            self.at += 1;
        }
        let part = self.text.part(from, self.at);
        let name = Word { text: part.to_string_lossy(), span: part.span };
        self.skip_space();
        let mut arguments = Vec::new();
        while self.peek() == Some(b',') {
            self.at += 1;
            let argument = if name.text == "re.subst" { self.substitution()? } else { self.argument(start)? };
            arguments.push(argument);
        }
        if self.peek() != Some(b'}') {
            return self.error(start, "this `{` has no `}`");
        }
        self.at += 1;
        Ok(Transformation { name, arguments, span: self.text.place(start, self.at) })
    }

    /// An argument: up to the next comma or brace that does not belong to a variable.
    fn argument(&mut self, open: usize) -> Result<Text, VarError> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b',' | b'}' => return Ok(self.text.part(start, self.at)),
                b'$' if self.text.bytes.get(self.at + 1) != Some(&b'$') => {
                    match variable(self.text, self.at, true, self.depth + 1) {
                        Ok((_, end)) => self.at = end,
                        Err(_) => self.at += 1,
                    }
                }
                b'\\' if self.at + 1 < self.text.bytes.len() => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = open;
        self.error(open, "this `{` has no `}`")
    }

    /// `/pattern/replacement/flags`, whose pattern may hold commas and braces; or a variable.
    fn substitution(&mut self) -> Result<Text, VarError> {
        self.skip_space();
        let start = self.at;
        let Some(mark) = self.peek() else {
            return self.error(start, "a substitution is written `/pattern/replacement/flags`");
        };
        if mark == b'$' {
            return self.argument(start);
        }
        let mut marks = 0;
        while let Some(byte) = self.peek() {
            if byte == b'\\' {
                self.at += 2;
                continue;
            }
            if byte == mark {
                marks += 1;
            } else if marks >= 3 && byte == b'}' {
                return Ok(self.text.part(start, self.at));
            }
            self.at += 1;
        }
        self.at = start + 1;
        self.error(start, "a substitution is written `/pattern/replacement/flags`")
    }
}
