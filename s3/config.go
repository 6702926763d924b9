package s3

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"gopkg.in/ini.v1"
)

// amazon is the store that is asked when no endpoint is named.
const amazon = "https://s3.amazonaws.com"

// profile is a section of the files in ~/.aws.
type profile struct {
	name     string
	named    bool // somebody asked for it by name
	found    bool
	endpoint string
	region   string
}

// readProfile reads the section of ~/.aws/config and ~/.aws/credentials that s
// or the environment names. Files that are not there say nothing.
func (s Store) readProfile() (profile, error) {
	p := profile{name: cmp.Or(s.Profile, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE"))}
	p.named = p.name != ""
	p.name = cmp.Or(p.name, "default")
	for _, file := range []struct {
		variable, name string
		sections       []string
	}{
		{"AWS_CONFIG_FILE", "config", []string{"profile " + p.name, p.name}},
		{"AWS_SHARED_CREDENTIALS_FILE", "credentials", []string{p.name}},
	} {
		path := os.Getenv(file.variable)
		if path == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				continue
			}
			path = filepath.Join(home, ".aws", file.name)
		}
		f, err := ini.LoadSources(ini.LoadOptions{AllowNestedValues: true, SkipUnrecognizableLines: true}, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return p, fmt.Errorf("s3: read %s: %w", path, err)
		}
		for _, name := range file.sections {
			section, err := f.GetSection(name)
			if err != nil {
				continue
			}
			p.found = true
			p.region = cmp.Or(p.region, section.Key("region").String())
			p.endpoint = cmp.Or(p.endpoint, section.Key("endpoint_url").String())
			break
		}
	}
	if p.named && !p.found {
		return p, fmt.Errorf("s3: no profile %q in ~/.aws/config or ~/.aws/credentials", p.name)
	}
	return p, nil
}

// connect makes the client of minio-go for the store, without asking it
// anything. Only credentials that no variable and no file holds take a request.
func (s Store) connect(transport http.RoundTripper) (*minio.Core, error) {
	p, err := s.readProfile()
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(cmp.Or(s.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), p.endpoint, amazon))
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, errors.New("s3: invalid endpoint; write http://host:port or https://host")
	}
	region := cmp.Or(s.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), p.region)
	if region == "" && at.String() != amazon {
		region = "us-east-1" // stores without regions expect it in a signature
	}
	creds, err := s.credentials(p, at.String() == amazon)
	if err != nil {
		return nil, err
	}
	// Retries are ours: minio-go would not say how often it tried, nor stop for
	// a request that cannot be repeated.
	core, err := minio.NewCore(at.Host, &minio.Options{
		Creds: creds, Secure: at.Scheme == "https", Region: region, Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	core.SetAppInfo("weir", "1")
	return core, nil
}

// credentials finds the credentials to use. If the user chose some that cannot
// be used, it returns an error: a fallback would send requests with the rights
// of another account.
func (s Store) credentials(p profile, isAmazon bool) (*credentials.Credentials, error) {
	switch {
	case s.Anonymous:
		return credentials.NewStatic("", "", "", credentials.SignatureAnonymous), nil
	case s.AccessKeyID != "":
		return credentials.NewStaticV4(s.AccessKeyID, s.SecretAccessKey, s.SessionToken), nil
	}
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	switch {
	case s.Profile == "" && id != "" && secret != "":
		return credentials.NewStaticV4(id, secret, os.Getenv("AWS_SESSION_TOKEN")), nil
	case s.Profile == "" && (id != "" || secret != ""):
		return nil, errors.New("s3: only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set; set both")
	}
	client := &http.Client{Timeout: 30 * time.Second}
	if p.found {
		creds := credentials.NewFileAWSCredentials("", p.name)
		v, err := creds.GetWithContext(&credentials.CredContext{Client: client})
		switch {
		case err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "":
			return creds, nil
		case err != nil && p.named:
			return nil, fmt.Errorf("s3: profile %s: %w", p.name, err)
		}
	}
	role := os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" ||
		os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != ""
	if role || isAmazon && os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		if !role { // a machine that is none of Amazon's does not answer
			client.Transport = &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
			client.Timeout = 2 * time.Second
		}
		creds := credentials.New(&credentials.IAM{Client: client})
		v, err := creds.GetWithContext(&credentials.CredContext{Client: client})
		if err == nil && v.AccessKeyID != "" {
			return creds, nil
		}
		if role {
			return nil, fmt.Errorf("s3: credentials of the role: %w", err)
		}
	}
	return nil, &Error{Code: codeNoCredentials}
}

// trust returns TLS settings with the certificates of AWS_CA_BUNDLE, or nil to
// use the certificates of the system.
func trust() (*tls.Config, error) {
	name := os.Getenv("AWS_CA_BUNDLE")
	if name == "" {
		return nil, nil
	}
	bundle, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("s3: read AWS_CA_BUNDLE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("s3: no certificates in %s, which AWS_CA_BUNDLE names", name)
	}
	return &tls.Config{RootCAs: pool}, nil
}
