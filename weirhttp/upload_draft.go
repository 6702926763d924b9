package weirhttp

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// draft is a version of the protocol for resumable uploads over HTTP, which the IETF has
// developed as draft-ietf-httpbis-resumable-upload. Requests name its interop version, which
// has changed less often than the draft. The RFC has no version.
//
// The fields say how the versions differ. The table is in the order of the versions.
type draft struct {
	version string // as in Upload-Draft-Interop-Version; "": the RFC

	inverse   bool   // the field is Upload-Incomplete, with the opposite meaning
	saysWhole bool   // a PATCH must say whether it completes the upload
	mediaType bool   // a PATCH must have the type application/partial-upload
	problems  bool   // errors have the form of RFC 9457
	created   bool   // an append that does not complete the upload is answered with 201
	own       bool   // a creation is answered with the URL of the upload, not of the file
	voids     bool   // an append beyond the length ends the upload
	limits    bool   // answers have Upload-Limit
	lifetime  string // the name of the limit for the lifetime
}

var drafts = [...]draft{
	{version: "3", inverse: true, created: true, own: true}, // draft 01
	{version: "4", created: true, own: true},                // draft 02
	{version: "5", created: true, own: true},                // draft 03
	{version: "6", saysWhole: true, mediaType: true, problems: true, created: true, own: true, limits: true, lifetime: "expires"}, // drafts 04 and 05
	{version: "7", saysWhole: true, mediaType: true, problems: true, voids: true, limits: true, lifetime: "max-age"},              // drafts 06 to 08
	{version: "8", saysWhole: true, mediaType: true, problems: true, voids: true, limits: true, lifetime: "max-age"},              // drafts 09 to 11
	{version: "9", saysWhole: true, mediaType: true, problems: true, voids: true, limits: true, lifetime: "max-age"},              // draft 12
	{version: "", saysWhole: true, mediaType: true, problems: true, voids: true, limits: true, lifetime: "max-age"},               // the RFC
}

// Header fields of the protocol.
const (
	versionField    = "Upload-Draft-Interop-Version"
	offsetField     = "Upload-Offset"
	completeField   = "Upload-Complete"
	incompleteField = "Upload-Incomplete"
	lengthField     = "Upload-Length"
	limitField      = "Upload-Limit"
)

// partialUpload is the media type of an append.
const partialUpload = "application/partial-upload"

// statusResumable is the status 104 Upload Resumption Supported.
const statusResumable = 104

// draftOf returns the version of the protocol that r uses.
func draftOf(h http.Header) (*draft, error) {
	version := ""
	if lines := h.Values(versionField); len(lines) > 0 {
		n, ok := sfInteger(lines)
		if !ok {
			return nil, &refusal{http.StatusBadRequest, "Malformed " + versionField}
		}
		version = strconv.FormatInt(n, 10)
	}
	for i := range drafts {
		if drafts[i].version == version {
			return &drafts[i], nil
		}
	}
	first, last := drafts[0].version, drafts[len(drafts)-2].version
	return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("%s %s is not supported; use %s to %s, or none", versionField, version, first, last)}
}

// complete returns what a request says about the end of its body: whether that is the end
// of the file. It reports false if the request does not say.
func (d *draft) complete(h http.Header) (complete, ok bool) {
	if d.inverse {
		incomplete, ok := sfBoolean(h.Values(incompleteField))
		return !incomplete, ok
	}
	return sfBoolean(h.Values(completeField))
}

// tellComplete says in an answer whether the upload is complete.
func (d *draft) tellComplete(h http.Header, complete bool) {
	name := completeField
	if d.inverse {
		name, complete = incompleteField, !complete
	}
	value := "?0"
	if complete {
		value = "?1"
	}
	h.Set(name, value)
}

// isResumable reports whether r is part of a resumable upload over HTTP. A POST or PUT of an
// unknown version that brings a whole file is an ordinary upload, as the draft intends. So is
// a form, because its parts are the files.
func isResumable(r *http.Request) bool {
	switch r.Method {
	case http.MethodHead, http.MethodPatch, http.MethodDelete:
		return true
	case http.MethodGet:
		return isUploadID(lastElement(r.URL.Path))
	case http.MethodPost, http.MethodPut:
		d, err := draftOf(r.Header)
		if err != nil {
			return isPart(r.Header)
		}
		complete, ok := d.complete(r.Header)
		return ok && !(complete && isMultipart(r)) || isPart(r.Header)
	}
	return false
}

// isPart reports whether a request says, in any version, that more of the file follows. It
// must not be stored as a whole file.
func isPart(h http.Header) bool {
	complete, ok := sfBoolean(h.Values(completeField))
	incomplete, iok := sfBoolean(h.Values(incompleteField))
	return ok && !complete || iok && incomplete
}

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// sfItem returns the bare item of a header field with one item (RFC 9651). A field in
// several lines is a list, not an item.
func sfItem(lines []string) (string, bool) {
	if len(lines) != 1 {
		return "", false
	}
	item, _, _ := strings.Cut(lines[0], ";") // parameters: none are defined
	return strings.Trim(item, " "), true
}

// sfBoolean parses a header field with a boolean.
func sfBoolean(lines []string) (value, ok bool) {
	switch item, _ := sfItem(lines); item {
	case "?1":
		return true, true
	case "?0":
		return false, true
	}
	return false, false
}

// sfInteger parses a header field with an integer that is not negative. An integer has at
// most 15 digits.
func sfInteger(lines []string) (int64, bool) {
	item, _ := sfItem(lines)
	if item == "" || len(item) > 15 || strings.Trim(item, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(item, 10, 64)
	return n, err == nil
}
