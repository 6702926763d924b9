package weirhttp

import (
	"strings"
	"testing"
)

// tusCases are the cases of tusd's tests of its handler that apply here, in our own words.
// Those with checksums, expiry and two requests at a time are tests of their own.
var tusCases = []struct {
	name  string
	steps []step
}{
	{"the handler tells what it can", []step{{request: "OPTIONS", status: 200, want: "Tus-Version: 1.0.0 | Tus-Resumable: 1.0.0 | Tus-Extension: | Tus-Max-Size: 400"}}},
	{"a creation", []step{{request: "POST", header: "Upload-Length: 300 | Upload-Metadata: foo aGVsbG8=, bar d29ybGQ=, empty", status: 201, want: "Location: | Tus-Resumable: 1.0.0 | Upload-Expires:"},
		{request: "HEAD at", status: 200, want: "Upload-Offset: 0 | Upload-Length: 300 | Upload-Metadata: | Cache-Control: no-store"}}},
	{"an empty upload", []step{{request: "POST", header: "Upload-Length: 0", status: 201}, {request: "HEAD at", status: 200, want: "Upload-Offset: 0 | Upload-Length: 0"}}},
	{"a length that is too large", []step{{request: "POST", header: "Upload-Length: 500", status: 413, want: "!Location"}}},
	{"a length that is no number", []step{{request: "POST", header: "Upload-Length: -5", status: 400}, {request: "POST", header: "Upload-Length: hello", status: 400}}},
	{"a length that is known and is not", []step{{request: "POST", header: "Upload-Length: 10 | Upload-Defer-Length: 1", status: 400}}},
	{"no length at all", []step{{request: "POST", status: 400}}},
	{"a wrong Upload-Defer-Length", []step{{request: "POST", header: "Upload-Defer-Length: bad", status: 400}}},
	{"a version that there is not", []step{{request: "POST", header: "Upload-Length: 10 | Tus-Resumable: 0.2.1", status: 412, want: "Tus-Resumable: 1.0.0"}}},
	{"a creation with upload", []step{{request: "POST", header: "Upload-Length: 10 | Content-Type: application/offset+octet-stream", body: "hello", status: 201, want: "Upload-Offset: 5"},
		{request: "HEAD at", status: 200, want: "Upload-Offset: 5"}}},
	{"a creation whose content has another type", []step{{request: "POST", header: "Upload-Length: 10 | Content-Type: application/false", body: "hello", status: 201, want: "!Upload-Offset"},
		{request: "HEAD at", status: 200, want: "Upload-Offset: 0"}}},
	{"a deferred length", []step{{request: "POST", header: "Upload-Defer-Length: 1", status: 201},
		{request: "HEAD at", status: 200, want: "Upload-Defer-Length: 1 | !Upload-Length"}}},
	{"an upload that there is not", []step{{request: "HEAD /upload/" + strings.Repeat("a", 26), status: 404}, {request: "HEAD /upload/no", status: 404},
		{request: "PATCH /upload/" + strings.Repeat("a", 26), header: "Upload-Offset: 0 | Content-Type: application/offset+octet-stream", body: "x", status: 404},
		{request: "DELETE /upload/" + strings.Repeat("a", 26), status: 404}}},
	{"appends", []step{tusNew, tusAppend(0, "hello", 204, "Upload-Offset: 5"), tusAppend(5, "world", 204, "Upload-Offset: 10"), {request: "HEAD at", status: 200, want: "Upload-Offset: 10"}}},
	{"an append by another method", []step{tusNew, {request: "POST at", header: "Upload-Offset: 0 | Content-Type: application/offset+octet-stream | X-HTTP-Method-Override: PATCH", body: "hello", status: 204, want: "Upload-Offset: 5"}}},
	{"an append to a complete upload", []step{tusNew, tusAppend(0, "helloworld", 204, ""), tusAppend(10, "", 204, "Upload-Offset: 10")}},
	{"a wrong offset", []step{tusNew, tusAppend(4, "x", 409, ""), tusAppend(0, "hello", 204, ""), tusAppend(4, "x", 409, "")}},
	{"an append beyond the length", []step{tusNew, tusAppend(0, "hello world", 413, ""), {request: "HEAD at", status: 200, want: "Upload-Offset: 0"}}},
	{"an append of another type", []step{tusNew, {request: "PATCH at", header: "Upload-Offset: 0 | Content-Type: application/false", body: "x", status: 400}}},
	{"an append with a malformed offset", []step{tusNew, {request: "PATCH at", header: "Upload-Offset: -5 | Content-Type: application/offset+octet-stream", body: "x", status: 400},
		{request: "PATCH at", header: "Content-Type: application/offset+octet-stream", body: "x", status: 400}}},
	{"an append of unknown length beyond the length", []step{tusNew, {request: "PATCH at", header: "Upload-Offset: 0 | Content-Type: application/offset+octet-stream", body: "hello world", chunked: true, status: 413},
		{request: "HEAD at", status: 200, want: "Upload-Offset: 0"}}},
	{"a length that the last append declares", []step{{request: "POST", header: "Upload-Defer-Length: 1", status: 201}, tusAppend(0, "hello", 204, ""),
		{request: "PATCH at", header: "Upload-Offset: 5 | Upload-Length: 10 | Content-Type: application/offset+octet-stream", body: "world", status: 204, want: "Upload-Offset: 10"},
		{request: "HEAD at", status: 200, want: "Upload-Length: 10 | !Upload-Defer-Length"}}},
	{"a length that is declared before the last append", []step{{request: "POST", header: "Upload-Defer-Length: 1", status: 201},
		{request: "PATCH at", header: "Upload-Offset: 0 | Upload-Length: 10 | Content-Type: application/offset+octet-stream", body: "hello", status: 204},
		{request: "HEAD at", status: 200, want: "Upload-Length: 10 | Upload-Offset: 5"}, tusAppend(5, "world", 204, "")}},
	{"a length that is declared after the last append", []step{{request: "POST", header: "Upload-Defer-Length: 1", status: 201}, tusAppend(0, "hello", 204, ""),
		{request: "PATCH at", header: "Upload-Offset: 5 | Upload-Length: 5 | Content-Type: application/offset+octet-stream", status: 204},
		{request: "HEAD at", status: 200, want: "Upload-Length: 5 | Upload-Offset: 5"}}},
	{"a length that is shorter than what is there", []step{{request: "POST", header: "Upload-Defer-Length: 1", status: 201}, tusAppend(0, "hello", 204, ""),
		{request: "PATCH at", header: "Upload-Offset: 5 | Upload-Length: 3 | Content-Type: application/offset+octet-stream", status: 400}}},
	{"a second length", []step{tusNew, {request: "PATCH at", header: "Upload-Offset: 0 | Upload-Length: 10 | Content-Type: application/offset+octet-stream", body: "x", status: 400}}},
	{"a removal", []step{tusNew, tusAppend(0, "hello", 204, ""), {request: "DELETE at", status: 204}, {request: "HEAD at", status: 404}, {request: "DELETE at", status: 404}}},
}

var tusNew = step{request: "POST", header: "Upload-Length: 10", status: 201, want: "Location:"}

func tusAppend(offset int, body string, status int, want string) step {
	s := appendStep(offset, "", body, status, want)
	s.header = strings.NewReplacer("Upload-Complete: | ", "", "Upload-Complete:  | ", "", partialUpload, "application/offset+octet-stream").Replace(s.header)
	return s
}

func TestTus_DoesAsTusdDoes(t *testing.T) {
	t.Parallel()
	in := newInbox(t, &Uploads{MaxSize: 400})
	for _, c := range tusCases {
		t.Run(c.name, func(t *testing.T) {
			own := *in
			own.t = t
			client := &resumer{inbox: &own}
			for _, s := range c.steps {
				if !strings.Contains(s.header, "Tus-Resumable") {
					s.header += " | Tus-Resumable: 1.0.0"
				}
				client.run(s)
			}
		})
	}
}
