// The signer of bearer tokens beside a test registry (distribution's `auth.token`): it answers a Basic-authenticated
// `GET /token?service=…&scope=…` with a JWT that the registry accepts, as Docker Hub and GitLab do.
//
// It makes its own key, writes the public half as a JWK set, and then says on which port it listens. Passwords come as
// SHA-256 sums from a file that is read for each request, so that a test can change them.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const keyID = "test"

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func encodeJSON(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	return encode(data)
}

// writeKeys writes the JWK set (RFC 7517) with the public key.
func writeKeys(path string, key *ecdsa.PublicKey) error {
	point, err := key.Bytes()
	if err != nil {
		return err
	}
	set := map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": keyID,
		"x": encode(point[1:33]), "y": encode(point[33:65]),
	}}}
	data, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// sign makes a JWT (RFC 7519) with ES256: both numbers of the signature, 32 bytes each.
func sign(key *ecdsa.PrivateKey, claims map[string]any) (string, error) {
	text := encodeJSON(map[string]string{"typ": "JWT", "alg": "ES256", "kid": keyID}) + "." + encodeJSON(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encode(signature), nil
}

// access gives what the scopes ask for: `repository:team/vpc:pull,push`. Only pull is granted.
func access(scopes []string) []any {
	granted := []any{}
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		parts := strings.Split(scope, ":")
		if len(parts) == 3 && parts[0] == "repository" {
			granted = append(granted, map[string]any{"type": parts[0], "name": parts[1], "actions": []string{"pull"}})
		}
	}
	return granted
}

func known(file, user, password string) bool {
	sum := sha256.Sum256([]byte(password))
	data, err := os.ReadFile(file)
	return err == nil && strings.TrimSpace(string(data)) == user+":"+hex.EncodeToString(sum[:])
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: token-signer CERTIFICATE KEY PASSWORDS JWKS")
	}
	certificate, tlsKey, passwords, keys := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	if err := writeKeys(keys, &key.PublicKey); err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/token", func(answer http.ResponseWriter, request *http.Request) {
		user, password, given := request.BasicAuth()
		status := http.StatusOK
		if !given || !known(passwords, user, password) {
			status = http.StatusUnauthorized
		}
		fmt.Printf("%q %d\n", request.Method+" "+request.URL.RequestURI()+" HTTP/1.1", status)
		if status != http.StatusOK {
			answer.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(answer, `{"errors":[{"code":"UNAUTHORIZED"}]}`, status)
			return
		}
		now := time.Now()
		token, err := sign(key, map[string]any{
			"iss": "test", "sub": user, "aud": request.URL.Query().Get("service"),
			"exp": now.Add(5 * time.Minute).Unix(), "nbf": now.Add(-time.Minute).Unix(), "iat": now.Unix(),
			"jti": rand.Text(), "access": access(request.URL.Query()["scope"]),
		})
		if err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
			return
		}
		answer.Header().Set("Content-Type", "application/json")
		json.NewEncoder(answer).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	log.Fatal(http.ServeTLS(listener, nil, certificate, tlsKey))
}
