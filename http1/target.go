package http1

import "bytes"

// requestLine parses buf[h.start:end], which holds no LF and whose CR stands
// at end. Syntax comes first, then the version, then the method, then what the target means:
// so HTTP/2's preface, "PRI * HTTP/2.0", is a version that is not served.
func (h *head) requestLine(end int) bool {
	buf, req := h.buf, h.req
	i := h.start
	for class[buf[i]]&isToken != 0 {
		i++
	}
	req.Line = span(h.start, end)
	req.Name = span(h.start, i)
	if i == end {
		return h.bad(&errNoTarget, i)
	}
	if buf[i] != ' ' {
		return h.bad(controlRule(buf[i], &errMethod), i)
	}
	target := i + 1
	for i = target; class[buf[i]]&isQuery != 0; {
		i++
	}
	query := i
	if buf[i] == '?' {
		req.HasQuery = true
		query++
		for class[buf[i]]&isTarget != 0 {
			i++
		}
	}
	if !h.afterTarget(target, i, end) || !h.version(i+1, end) {
		return false
	}
	req.Method = methodOf(buf[h.start : target-1])
	if req.Method == 0 {
		return h.bad(&errUnknown, h.start)
	}
	req.Target = span(target, i)
	if req.HasQuery {
		req.Query = span(query, i)
		return h.target(target, query-1)
	}
	return h.target(target, i)
}

// bad is fail for the functions that answer whether all is well.
func (h *head) bad(rule *Error, at int) bool {
	h.req.fail(rule, at)
	return false
}

// controlRule is the rule that byte c breaks where rule would name it wrongly:
// a CR is a line ending that went wrong.
func controlRule(c byte, rule *Error) *Error {
	if c == '\r' {
		return &errBareCR
	}
	return rule
}

// afterTarget checks that the target, buf[target:i], is not empty and ended by
// a space and not by a byte that it may not hold.
func (h *head) afterTarget(target, i, end int) bool {
	c := h.buf[i]
	switch {
	case i == end && i == target:
		return h.bad(&errNoTarget, i)
	case i == end:
		return h.bad(&errNoVersion, i)
	case i == target && c == ' ':
		return h.bad(&errSpaces, i)
	case c == '#':
		return h.bad(&errFragment, i)
	case c == '\t':
		return h.bad(&errSpaces, i)
	case c != ' ':
		return h.bad(controlRule(c, &errTargetByte), i)
	}
	return true
}

// version parses "HTTP/" DIGIT "." DIGIT, all of buf[i:end].
func (h *head) version(i, end int) bool {
	v := h.buf[i:end]
	if len(v) != 8 || string(v[:5]) != "HTTP/" || v[6] != '.' || !isDigit(v[5]) || !isDigit(v[7]) {
		if bytes.IndexByte(v, ' ') >= 0 {
			return h.bad(&errSpaces, i+bytes.IndexByte(v, ' '))
		}
		return h.bad(&errVersion, i)
	}
	if v[5] != '1' {
		if string(h.buf[h.start:i+len(v)]) == "PRI * HTTP/2.0" {
			return h.bad(&errPreface, h.start)
		}
		return h.bad(&errMajor, i)
	}
	if v[7] != '0' {
		h.req.Minor = 1 // RFC 9110 section 6.2: a higher minor version is the highest we know
	}
	return true
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// methodOf names a method, 0 if the IANA registry does not have it. Methods are case-sensitive.
func methodOf(name []byte) Method {
	switch string(name) {
	case "GET":
		return MethodGET
	case "HEAD":
		return MethodHEAD
	case "OPTIONS":
		return MethodOPTIONS
	case "POST":
		return MethodPOST
	case "PUT":
		return MethodPUT
	case "DELETE":
		return MethodDELETE
	case "PATCH":
		return MethodPATCH
	case "TRACE":
		return MethodTRACE
	case "CONNECT":
		return MethodCONNECT
	case "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE",
		"MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND",
		"PROPPATCH", "QUERY", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE",
		"UPDATEREDIRECTREF", "VERSION-CONTROL":
		return MethodOther
	}
	return 0
}

// PeekMethod returns the method of the request that begins at the start of buf, whatever follows it: a head that
// is refused, or does not come to its end, may have told its method. It is 0 while the token may go on, and
// for a method that this package does not know.
func PeekMethod(buf []byte) Method {
	start := 0
	if len(buf) >= 2 && buf[0] == '\r' && buf[1] == '\n' { // the empty line that Parse skips
		start = 2
	}
	end := start
	for end < len(buf) && class[buf[end]]&isToken != 0 {
		end++
	}
	if end == len(buf) {
		return 0
	}
	return methodOf(buf[start:end])
}

// target finds out the form of the request target. from is where it begins
// and pathEnd where it ends or its question mark stands.
func (h *head) target(from, pathEnd int) bool {
	buf, req := h.buf, h.req
	if req.Method == MethodCONNECT {
		return h.authorityForm()
	}
	switch {
	case buf[from] == '/':
		req.Form = OriginForm
		req.Path = span(from, pathEnd)
		return true
	case buf[from] == '*' && req.Target.Len == 1:
		req.Form = AsteriskForm
		if req.Method != MethodOPTIONS {
			return h.bad(&errAsterisk, from)
		}
		return true
	}
	return h.absoluteForm(from, pathEnd)
}

// authorityForm parses host:port, both required (RFC 9110 section 9.3.6).
func (h *head) authorityForm() bool {
	req := h.req
	req.Form = AuthorityForm
	req.Query, req.HasQuery = Span{}, false
	target := req.Target.In(h.buf)
	at := int(req.Target.Off)
	if i := badAuthority(target); i >= 0 {
		return h.bad(&errAuthority, at+i)
	}
	colon := bytes.LastIndexByte(target, ':')
	if colon <= 0 || target[len(target)-1] == ':' || target[len(target)-1] == ']' {
		return h.bad(&errAuthority, at)
	}
	return true
}

// absoluteForm parses "http://" authority [path]. Its authority is the
// request's host, and the Host field is checked but not used (RFC 9112 section 3.2.2).
func (h *head) absoluteForm(from, pathEnd int) bool {
	req := h.req
	req.Form = AbsoluteForm
	uri := h.buf[from:pathEnd]
	scheme := bytes.IndexByte(uri, ':')
	if scheme < 0 || !equalFold(uri[:scheme], "http") && !equalFold(uri[:scheme], "https") ||
		len(uri) < scheme+3 || uri[scheme+1] != '/' || uri[scheme+2] != '/' {
		return h.bad(&errTargetForm, from)
	}
	host := scheme + 3
	end := len(uri)
	if i := bytes.IndexByte(uri[host:], '/'); i >= 0 {
		end = host + i
	}
	authority := uri[host:end]
	if i := bytes.IndexByte(authority, '@'); i >= 0 {
		return h.bad(&errUserInfo, from+host+i)
	}
	if len(authority) == 0 || authority[0] == ':' {
		return h.bad(&errTargetNoHost, from+host)
	}
	if i := badAuthority(authority); i >= 0 {
		return h.bad(&errTargetHost, from+host+i)
	}
	req.Host = span(from+host, from+end)
	req.Path = span(from+end, pathEnd)
	return true
}
