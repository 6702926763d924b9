package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/endpoint"
)

// Error describes a request that failed: the store refused it, or it did not
// reach the store. It matches [fs.ErrNotExist], [fs.ErrPermission],
// [fs.ErrExist] or [endpoint.ErrChanged] if the store's answer means that.
type Error struct {
	Op         string // "read", "write", "list", "delete", …
	URL        string // of the object or prefix
	Code       string // the store's error code, as in "NoSuchKey"; empty if it did not answer
	StatusCode int    // HTTP status of the response; 0 if there was none
	Message    string // the store's error message
	Err        error  // the cause, if the store did not answer

	region string // where the bucket is, if the store says so
	create bool   // a failed condition means that the object exists
}

// Error returns the operation, the URL and the reason.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %s", e.Op, e.URL, e.Reason()) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Reason says what went wrong, without the operation and the URL.
func (e *Error) Reason() string {
	if k := e.known(); k.text != "" {
		return k.text
	}
	switch {
	case e.Code == "" && e.Err != nil:
		return e.Err.Error()
	case e.Message != "":
		return fmt.Sprintf("the store answered %s: %s", e.Code, strings.TrimSuffix(e.Message, "."))
	}
	return "the store answered " + e.Code
}

// Advice returns what to do about the error, or "" if it has no advice.
func (e *Error) Advice() string { return e.known().advice }

// known is a refusal that we can say more about than the store does.
type known struct{ text, advice string }

func (e *Error) known() known {
	if host := (*net.DNSError)(nil); errors.As(e.Err, &host) {
		if strings.HasSuffix(host.Name, ".amazonaws.com") {
			return known{advice: "set AWS_REGION; for a store that is not Amazon's, set AWS_ENDPOINT_URL or add ?endpoint="}
		}
		return known{advice: "check AWS_ENDPOINT_URL or ?endpoint=: " + host.Name + " does not resolve"}
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(e.URL, scheme+"://"), "/")
	switch e.Code {
	case "NoSuchBucket":
		return known{"no such bucket " + bucket, "check the bucket, the region and ?endpoint="}
	case "NoSuchKey", "NotFound":
		return known{"no such object", "check the key; upper and lower case differ, and the name of a folder ends in a slash"}
	case codeEmpty:
		return known{"no object has a key that begins with this prefix", "check the prefix; upper and lower case differ"}
	case "InvalidBucketName":
		return known{"invalid bucket name " + bucket, "s3://bucket/key"}
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		return known{"access denied", "check which bucket and key these credentials may " + e.verb()}
	case "InvalidAccessKeyId", "XAdminUserNotFound": // the latter is versitygw's
		return known{"the store does not know this access key", "check AWS_ACCESS_KEY_ID, the profile, and ?endpoint="}
	case "SignatureDoesNotMatch":
		return known{"the store refused the signature", "check AWS_SECRET_ACCESS_KEY and the region"}
	case "RequestTimeTooSkewed":
		return known{"the clock of this machine and that of the store are too far apart", "set the clock, as in: timedatectl set-ntp true"}
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		return known{"the session token has expired", "aws sso login, or a new AWS_SESSION_TOKEN"}
	case "InvalidToken":
		return known{"invalid session token", "check AWS_SESSION_TOKEN"}
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "InvalidRegion", "IllegalLocationConstraintException":
		k := known{"the bucket is in another region", "add ?region=REGION to the URL"}
		if e.region != "" {
			k = known{"the bucket is in region " + e.region, "add ?region=" + e.region + " to the URL"}
		}
		return k
	case "PreconditionFailed":
		if e.Op == "read" {
			return known{endpoint.ErrChanged.Error(), ""}
		}
		if e.create {
			return known{"an object with this key already exists", "leave out --no-clobber to replace it"}
		}
	case "ConditionalRequestConflict":
		if e.create {
			return known{"another writer was creating an object with this key at the same time", "the same again"}
		}
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded":
		return known{"the store is overloaded (" + e.Code + ")", "the same again later"}
	case "InvalidObjectState":
		return known{"the object is archived", "restore it first, as in: aws s3api restore-object"}
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return known{"the store received other bytes than were sent", "the same again"}
	case "EntityTooLarge":
		return known{"the object is too large for the store", ""}
	case codeNoCredentials:
		return known{"no credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure, or add ?anonymous=true for a public bucket"}
	}
	return known{}
}

// codeNoCredentials is the code of a request that was not sent because there
// were no credentials.
const codeNoCredentials = "NoCredentials"

// codeEmpty is the code of a prefix without objects.
const codeEmpty = "EmptyPrefix"

func (e *Error) verb() string {
	if e.Op == "read" || e.Op == "list" {
		return e.Op
	}
	return "write"
}

// Is makes the error match errors of packages fs and endpoint.
func (e *Error) Is(target error) bool {
	switch {
	case e.Code == "PreconditionFailed" || e.StatusCode == http.StatusPreconditionFailed:
		return target == fs.ErrExist && e.create || target == endpoint.ErrChanged && !e.create && e.Op == "read"
	case e.StatusCode == http.StatusNotFound:
		return target == fs.ErrNotExist
	case e.StatusCode == http.StatusForbidden, e.StatusCode == http.StatusUnauthorized, e.Code == codeNoCredentials:
		return target == fs.ErrPermission
	}
	return false
}

// temporary reports whether the same request may succeed later.
func (e *Error) temporary() bool {
	switch e.Code {
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "InternalError", "ServiceUnavailable", "RequestTimeout",
		"Throttling", "ThrottlingException", "RequestThrottled", "RequestLimitExceeded", "TooManyRequests",
		"OperationAborted":
		return true
	case codeNoCredentials:
		return false
	}
	switch e.StatusCode {
	case 0:
		return worthRetrying(e.Err)
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// answered reports whether the store has said no, so that the request had no
// effect. A server error, or no answer, leaves that open.
func (e *Error) answered() bool { return e.StatusCode >= 400 && e.StatusCode < 500 }

// refusal makes an Error of the error of a request of minio-go. op and url are
// the request; create says that the request carried If-None-Match.
func refusal(ctx context.Context, op, url string, create bool, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var already *Error
	if errors.As(err, &already) || errors.As(err, new(final)) {
		return err
	}
	e := &Error{Op: op, URL: url, create: create}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		e.Code, e.StatusCode, e.Message, e.region = answer.Code, answer.StatusCode, answer.Message, answer.Region
		if e.StatusCode == http.StatusPreconditionFailed {
			e.Code = "PreconditionFailed"
		}
		if e.Code == "" {
			e.Code = http.StatusText(e.StatusCode)
		}
		return e
	}
	e.Err = bare(err)
	return e
}
