// Users of Go's net/http: see program() in ../client.ts.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"time"
)

type config struct {
	Origin, Ca, Kind, Id string
	Users, Think         int
}

type tally struct {
	Sent     int            `json:"sent"`
	Answered int            `json:"answered"`
	Errors   map[string]int `json:"errors"`
	Retried  int            `json:"retried"`
	lock     sync.Mutex
}

func main() {
	var settings config
	check(json.Unmarshal([]byte(os.Args[1]), &settings))
	client := http.Client{Transport: transport(settings), Timeout: 20 * time.Second}
	counts := tally{Errors: map[string]int{}}
	stopping := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stopping)
	}()

	var users sync.WaitGroup
	for user := 0; user < settings.Users; user++ {
		users.Add(1)
		go func(user int) {
			defer users.Done()
			loop(&client, settings, user, &counts, stopping)
		}(user)
	}
	users.Wait()
	check(json.NewEncoder(os.Stdout).Encode(&counts))
}

func transport(settings config) *http.Transport {
	certificate, err := os.ReadFile(settings.Ca)
	check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2:   settings.Kind == "h2",
		MaxIdleConnsPerHost: settings.Users,
	}
}

func loop(client *http.Client, settings config, user int, counts *tally, stopping chan struct{}) {
	think := time.Duration(settings.Think) * time.Millisecond
	time.Sleep(time.Duration(rand.Float64() * float64(think)))
	for n := 0; ; n++ {
		select {
		case <-stopping:
			return
		default:
		}
		failure, attempts := ask(client, settings, fmt.Sprintf("%s.%d.%d", settings.Id, user, n), n)
		counts.add(failure, attempts)
		time.Sleep(think)
	}
}

// Returns what the caller sees instead of the right answer, and how often a connection was taken for the request.
func ask(client *http.Client, settings config, id string, n int) (failure string, attempts int) {
	method, body, expected := "GET", io.Reader(nil), id
	if n%2 == 1 {
		method, expected = "POST", "body of "+id+" "+strings.Repeat("x", n%1000)
		body = strings.NewReader(expected)
	}
	request, err := http.NewRequest(method, settings.Origin+"/items/"+id, body)
	check(err)
	request.Header.Set("Content-Type", "text/plain")
	trace := httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { attempts++ }}
	answer, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), &trace)))
	if err != nil {
		return innermost(err), attempts
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return innermost(err), attempts
	case answer.StatusCode != 200:
		return fmt.Sprintf("status %d", answer.StatusCode), attempts
	case string(text) != expected:
		return "wrong body", attempts
	case settings.Kind == "h2" && answer.ProtoMajor != 2:
		return answer.Proto, attempts
	}
	return "", attempts
}

func (counts *tally) add(failure string, attempts int) {
	counts.lock.Lock()
	defer counts.lock.Unlock()
	counts.Sent++
	if attempts > 1 {
		counts.Retried += attempts - 1
	}
	if failure == "" {
		counts.Answered++
	} else {
		counts.Errors[failure]++
	}
}

func innermost(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
