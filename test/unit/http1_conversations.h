/* Conversations of HTTP/1 and what the framer must find in each (http1_transcript.h). */
#ifndef SCOPE_TEST_HTTP1_CONVERSATIONS_H
#define SCOPE_TEST_HTTP1_CONVERSATIONS_H

#include "test/unit/http1_transcript.h"

struct conversation {
    const char *expected;
    struct part parts[10];
};

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define OK "HTTP/1.1 200 OK\r\n"
#define Q1 "q1{GET / HTTP/1.1} q1=0 "
#define TP "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const struct conversation conversations[] = {
    /* -- measures */
    {Q1 "r1{HTTP/1.1 200 OK} r1=5", {Q(GET), R(OK "Content-Length: 5\r\n\r\nhello")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=0", {Q(GET), R(OK "Content-Length: 0\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=3", {Q(GET), R(OK "cOnTeNt-lEnGtH:\t 003 \t\r\n\r\nabc")}},
    {"q1{POST / HTTP/1.1} q1=4 q2{GET / HTTP/1.1} q2=0",
     {Q(POST "Content-Length: 4\r\n\r\nGET " GET)}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=9 q2{GET / HTTP/1.1} q2=0 r2{HTTP/1.1 204 None} r2=0",
     {Q(GET), R(OK "Transfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"),
      Q(GET), R("HTTP/1.1 204 None\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=28",
     {Q(GET), R(OK "TRANSFER-ENCODING: gzip, Chunked\r\n\r\n"
                   "00A ; name=\"v;\"\r\n0123456789\r\n12;x\r\n0123456789ab\r\n\r\n0\r\r\n"
                   "0  \r\nExpires: never\r\nX:\r\n\r\n")}},
    {"q1{POST / HTTP/1.1} q1=3 q2{GET / HTTP/1.1} q2=0",
     {Q(POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\nabc\r\n0\r\nA: b\nC: d\n\n" GET)}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=11", {Q(GET), R(OK "\r\nto the "), R("end."), R_END}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=0 rLOST", {Q(GET), R(OK "\r\n"), R_END, R("x")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=3", {Q(GET), R(OK "Transfer-Encoding: gzip\r\n\r\nabc"), R_END}},
    {Q1 "r1{HTTP/1.1 200 OK}", {Q(GET), R(OK "Content-Length: 4\r\n\r\nabc"), R_END}},
    {Q1 "r1{HTTP/1.1 304 Not Modified} r1=0",
     {Q(GET), R("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 205 Reset} r1=0",
     {Q(GET), R("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n")}},
    {"q1{HEAD / HTTP/1.1} q1=0 r1{HTTP/1.1 200 OK} r1=0 q2{GET / HTTP/1.1} q2=0 "
     "r2{HTTP/1.1 200 OK} r2=2",
     {Q("HEAD / HTTP/1.1\r\n\r\n"), R(OK "Content-Length: 999\r\n\r\n"), Q(GET),
      R(OK "Content-Length: 2\r\n\r\nab")}},
    {"q1{head / HTTP/1.1} q1=0 r1{HTTP/1.1 501 No} r1=2",
     {Q("head / HTTP/1.1\r\n\r\n"), R("HTTP/1.1 501 No\r\nContent-Length: 2\r\n\r\nno")}},
    {"q1{HEAD / HTTP/1.1} q1=0 r1{HTTP/1.1 200 OK} r1=0",
     {Q("HEAD / HTTP/1.1\r\n\r\n"), R(OK "Transfer-Encoding: chunked\r\n\r\n")}},
    {"q1{HEAD / HTTP/1.1} q1=0 r1{HTTP/1.1 200 OK} r1=0", {Q("HEAD / HTTP/1.1\n\n"), R(OK "\r\n")}},
    {"q1{connect b:1 HTTP/1.1} q1=0 r1{HTTP/1.1 200 OK} r1=2 q2{GET / HTTP/1.1} q2=0",
     {Q("connect b:1 HTTP/1.1\r\n\r\n"), R(OK "Content-Length: 2\r\n\r\nab"), Q(GET)}},
    {"q1{PROPFIND /dav HTTP/1.1} q1=0 r1{HTTP/1.1 207 Multi} r1=0",
     {Q("PROPFIND /dav HTTP/1.1\r\n\r\n"), R("HTTP/1.1 207 Multi\r\nContent-Length: 0\r\n\r\n")}},

    /* -- pipelining */
    {Q1 "q2{HEAD /b HTTP/1.1} q2=0 q3{GET /c HTTP/1.1} q3=0 r1{HTTP/1.1 200 OK} r1=1 "
        "r2{HTTP/1.1 200 OK} r2=0 r3{HTTP/1.1 200 OK} r3=2",
     {Q(GET "HEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n"),
      R(OK "Content-Length: 1\r\n\r\na" OK "Content-Length: 500\r\n\r\n" OK
           "Content-Length: 2\r\n\r\nbc")}},
    {Q1 "q2{CONNECT b:1 HTTP/1.1} q2=0 q3{HEAD / HTTP/1.1} q3=0 r1{HTTP/1.1 200 OK} r1=1 "
        "r2{HTTP/1.1 405 No} r2=3 r3{HTTP/1.1 200 OK} r3=0 q4{GET / HTTP/1.1} q4=0",
     {Q(GET "CONNECT b:1 HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n"),
      R(OK "Content-Length: 1\r\n\r\na"),
      R("HTTP/1.1 405 No\r\nContent-Length: 3\r\n\r\nabc" OK "Content-Length: 7\r\n\r\n"), Q(GET)}},
    {"q1{POST / HTTP/1.1} q1=1 q2{POST / HTTP/1.1} q2=2 r1{HTTP/1.1 100 Go}i r1{HTTP/1.1 200 OK} "
     "r1=0 r2{HTTP/1.1 100 Go}i r2{HTTP/1.1 200 OK} r2=0",
     {Q(POST "Content-Length: 1\r\n\r\nx" POST "Content-Length: 2\r\n\r\nxy"),
      R("HTTP/1.1 100 Go\r\n\r\n" OK "Content-Length: 0\r\n\r\n"
        "HTTP/1.1 100 Go\r\n\r\n" OK "Content-Length: 0\r\n\r\n")}},
    {Q1 "q2{GET / HTTP/1.1} q2=0 r1{HTTP/1.1 200 OK} r1=0 q3{GET / HTTP/1.1} q3=0 "
        "r2{HTTP/1.1 200 OK} r2=0 r3{HTTP/1.1 200 OK} r3=0",
     {Q(GET GET), R(OK "Content-Length: 0\r\n\r\n"), Q(GET),
      R(OK "Content-Length: 0\r\n\r\n" OK "Content-Length: 0\r\n\r\n")}},

    /* -- interim responses */
    {"q1{POST / HTTP/1.1} r1{HTTP/1.1 100 Continue}i q1=3 r1{HTTP/1.1 200 OK} r1=0",
     {Q(POST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
      R("HTTP/1.1 100 Continue\r\n\r\n"), Q("abc"), R(OK "Content-Length: 0\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 103 Early Hints}i r1{HTTP/1.1 103 Early Hints}i r1{HTTP/1.1 200 OK} r1=1",
     {Q(GET), R("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: </a>\r\n\r\n"
                "HTTP/1.1 103 Early Hints\r\n\r\n" OK "Content-Length: 1\r\n\r\na")}},
    {"q1{POST / HTTP/1.1} r1{HTTP/1.1 413 Big} r1=0 q1=3 q2{GET / HTTP/1.1} q2=0",
     {Q(POST "Content-Length: 3\r\n\r\n"), R("HTTP/1.1 413 Big\r\nContent-Length: 0\r\n\r\n"),
      Q("abc" GET)}},

    /* -- upgrades */
    {"q1{GET /ws HTTP/1.1} q1=0 r1{HTTP/1.1 101 Up} r1=0 rUPGRADED qUPGRADED",
     {Q("GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
      R("HTTP/1.1 101 Up\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"), Q("\x81\x85????\n"),
      R("HTTP/1.1 200 OK\r\n\r\n"), Q(GET)}},
    {"q1{GET / HTTP/1.1} q1=0 r1{HTTP/1.1 200 OK} r1=1 q2{GET / HTTP/1.1} q2=0 "
     "r2{HTTP/1.1 200 OK} r2=1",
     {Q("GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"),
      R(OK "Content-Length: 1\r\n\r\na"), Q(GET), R(OK "Content-Length: 1\r\n\r\na")}},
    {"q1{POST / HTTP/1.1} r1{HTTP/1.1 101 Up} r1=0 rUPGRADED q1=6 qUPGRADED",
     {Q(POST "Upgrade: h2c\r\nContent-Length: 6\r\n\r\nabc"),
      R("HTTP/1.1 101 Up\r\nConnection: upgrade\r\n\r\n\1\2"), Q("defPRI * HTTP/2.0\r\n"), Q("x")}},
    {"q1{HEAD / HTTP/1.1} q1=0 r1{HTTP/1.1 101 Up} r1=0 rUPGRADED",
     {Q("HEAD / HTTP/1.1\r\nUPGRADE: h2c\r\n\r\n"), R("HTTP/1.1 101 Up\r\n\r\nx")}},
    {"q1{CONNECT b:443 HTTP/1.1} q1=0 r1{HTTP/1.1 200 Yes} r1=0 qUPGRADED rUPGRADED",
     {Q("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n"),
      R("HTTP/1.1 200 Yes\r\nContent-Length: 10\r\n\r\n"), Q("\x16\x03\x01" GET), R("\x16")}},
    {"q1{CONNECT b:443 HTTP/1.0} q1=0 r1{HTTP/1.0 200 Yes} r1=0 qUPGRADED rUPGRADED",
     {Q("CONNECT b:443 HTTP/1.0\r\n\r\n"), R("HTTP/1.0 200 Yes\r\n\r\n"), Q(GET), R(OK)}},
    {"q1{CONNECT b:443 HTTP/1.1} q1=0 r1{HTTP/1.1 407 Who} r1=2 q2{CONNECT b:443 HTTP/1.1} q2=0 "
     "r2{HTTP/1.1 200 Yes} r2=0 qUPGRADED",
     {Q("CONNECT b:443 HTTP/1.1\r\n\r\n"), R("HTTP/1.1 407 Who\r\nContent-Length: 2\r\n\r\nno"),
      Q("CONNECT b:443 HTTP/1.1\r\n\r\n"), R("HTTP/1.1 200 Yes\r\n\r\n"), Q("x")}},
    /* Who spoke too early looks lost, until the answer says why. */
    {"q1{CONNECT b:443 HTTP/1.1} q1=0 qLOST r1{HTTP/1.1 200 Yes} r1=0 qUPGRADED",
     {Q("CONNECT b:443 HTTP/1.1\r\n\r\n\x16\x03\x01"), R("HTTP/1.1 200 Yes\r\n\r\n"), Q("x")}},
    /* Whoever could tell the answer is lost: what follows may be anything. */
    {"q1{CONNECT b:443 HTTP/1.1} q1=0 rLOST qLOST",
     {Q("CONNECT b:443 HTTP/1.1\r\n\r\n"), R("what"), Q(GET)}},
    {Q1 "rLOST q2{GET / HTTP/1.1} q2=0", {Q(GET), R("what"), Q(GET)}},

    /* -- persistence */
    {"q1{GET / HTTP/1.0} q1=0 r1{HTTP/1.0 200 OK} r1=2",
     {Q("GET / HTTP/1.0\r\n\r\n"), R("HTTP/1.0 200 OK\r\n\r\nab"), R_END}},
    {"q1{GET / HTTP/1.0} q1=0 qLOST", {Q("GET / HTTP/1.0\r\n\r\n" GET)}},
    {"q1{GET / HTTP/1.0} q1=0 r1{HTTP/1.0 200 OK} r1=1 q2{GET / HTTP/1.1} q2=0 "
     "r2{HTTP/1.1 200 OK} r2=0",
     {Q("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
      R("HTTP/1.0 200 OK\r\nConnection: a, KEEP-ALIVE ,b\r\nContent-Length: 1\r\n\r\na"), Q(GET),
      R(OK "Content-Length: 0\r\n\r\n")}},
    {Q1 "q2{GET / HTTP/1.1} q2=0 r1{HTTP/1.1 200 OK} r1=0 rLOST",
     {Q(GET GET), R(OK "Connection: close\r\nContent-Length: 0\r\n\r\n" OK "\r\n")}},
    {"q1{GET / HTTP/1.1} q1=0 qLOST", {Q("GET / HTTP/1.1\r\nconnection:x,Close\r\n\r\n" GET)}},
    {"q1{GET / HTTP/1.1} q1=0 q2{GET / HTTP/1.1} q2=0",
     {Q("GET / HTTP/1.1\r\nConnection: closed, clos e\r\nXonnection: close\r\n\r\n" GET)}},

    /* -- forms of lines */
    {Q1 "q2{GET / HTTP/1.1} q2=0 q3{GET / HTTP/1.1} q3=0",
     {Q("\r\n\n\r\n" GET "\r\n" GET "\n\n" GET "\r")}},
    {"q1{GET / HTTP/1.1} q1=0 r1{HTTP/1.1 200} r1=1 q2{GET / HTTP/1.1} q2=0",
     {Q("GET / HTTP/1.1\nHost: a\n\n"), R("HTTP/1.1 200\nContent-Length: 1\n\nx"), Q(GET)}},
    {"q1{GET http://a/?q=\xc3\xa9 HTTP/1.1} q1=0 r1{HTTP/1.1 999 } r1=0",
     {Q("GET http://a/?q=\xc3\xa9 HTTP/1.1\r\nX:\t\x01y\xff\r\nEmpty:\r\n\r\n"),
      R("HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n")}},
    {"q1{OPTIONS * HTTP/1.1} q1=0 r1{HTTP/1.1 200 a\tb \xe9} r1=0",
     {Q("OPTIONS * HTTP/1.1\r\n\r\n"), R("HTTP/1.1 200 a\tb \xe9\r\nContent-Length:0\r\n\r\n")}},

    /* -- bytes unseen */
    {Q1 "r1{HTTP/1.1 200 OK} r1=5000000000 q2{GET / HTTP/1.1} q2=0 r2{HTTP/1.1 200 OK} r2=0",
     {Q(GET), R(OK "Content-Length: 5000000000\r\n\r\nabc"), R_UNSEEN(4999999996), R("d"), Q(GET),
      R(OK "Content-Length: 0\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=70 q2{GET / HTTP/1.1} q2=0",
     {Q(GET), R(OK "Content-Length: 70\r\n\r\n"), R_UNSEEN(70), Q(GET)}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=256",
     {Q(GET), R(OK "Transfer-Encoding: chunked\r\n\r\n100\r\n"), R_UNSEEN(255), R_UNSEEN(1),
      R("\r\n0\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=12", {Q(GET), R(OK "\r\nab"), R_UNSEEN(10), R_END}},
    {Q1 "r1{HTTP/1.1 200 OK} rLOST",
     {Q(GET), R(OK "Content-Length: 70\r\n\r\n"), R_UNSEEN(71), R("x")}},
    {Q1 "r1{HTTP/1.1 200 OK} rLOST",
     {Q(GET), R(OK "Transfer-Encoding: chunked\r\n\r\n100\r\n"), R_UNSEEN(257)}},
    {"qLOST", {Q_UNSEEN(10), Q(GET)}},
    {"qLOST", {Q("GET / HTTP/1.1\r\n"), Q_UNSEEN(1), Q("\r\n")}},
    {"q1{GET / HTTP/1.1} q1=0 r1{HTTP/1.1 101 Up} r1=0 qUPGRADED rUPGRADED",
     {Q("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n"), R("HTTP/1.1 101 Up\r\n\r\n"), Q_UNSEEN(4),
      R_UNSEEN(9)}},

    /* -- traceparent */
    {"q1{GET / HTTP/1.1|" TP "} q1=0", {Q("GET / HTTP/1.1\r\ntraceparent: " TP "\r\n\r\n")}},
    {"q1{GET / HTTP/1.1|" TP "} q1=0 q2{GET / HTTP/1.1} q2=0",
     {Q("GET / HTTP/1.1\r\nTraceParent:\t" TP
        " \t                                                              \nX: y\r\n\r\n" GET)}},
    {"q1{GET / HTTP/1.1|} q1=0", {Q("GET / HTTP/1.1\r\ntraceparent:  \r\n\r\n")}},
    {"q1{GET / HTTP/1.1|a b} q1=0", {Q("GET / HTTP/1.1\r\ntraceparent:a b\r\n\r\n")}},
    {"q1{GET / HTTP/1.1} q1=0",
     {Q("GET / HTTP/1.1\r\ntraceparent: " TP "\r\nTraceparent: " TP "\r\n\r\n")}},
    {"q1{GET / HTTP/1.1} q1=0",
     {Q("GET / HTTP/1.1\r\ntraceparent: " TP "\r\ntraceparent:\r\ntraceparent:" TP "\r\n\r\n")}},
    {"q1{GET / HTTP/1.1|" TP "-} q1=0", {Q("GET / HTTP/1.1\r\ntraceparent: " TP "-\r\n\r\n")}},
    {"q1{GET / HTTP/1.1|" TP "-} q1=0", {Q("GET / HTTP/1.1\r\ntraceparent: " TP "-a\r\n\r\n")}},
    {"q1{GET / HTTP/1.1} q1=0",
     {Q("GET / HTTP/1.1\r\ntraceparents: " TP "\r\nxtraceparent: 1\r\n\r\n")}},
    {"q1{POST / HTTP/1.1} q1=0",
     {Q(POST "Transfer-Encoding: chunked\r\n\r\n0\r\ntraceparent: " TP "\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=0",
     {Q(GET), R(OK "traceparent: " TP "\r\nContent-Length: 0\r\n\r\n")}},
};

/* What two readers could understand differently, or what is no HTTP/1. All of it is sent first. */
#define HOSTILE_Q(text)     \
    {                       \
        "qLOST",            \
        {                   \
            Q(text), Q(GET) \
        }                   \
    }
#define HOSTILE_R(text)                          \
    {                                            \
        Q1 "rLOST",                              \
        {                                        \
            Q(GET), R(text), R(OK "\r\n"), R_END \
        }                                        \
    }
/* The head is sound, what follows is not. */
#define HOSTILE_QB(text)             \
    {                                \
        "q1{POST / HTTP/1.1} qLOST", \
        {                            \
            Q(POST text), Q(GET)     \
        }                            \
    }
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

static const struct conversation hostile[] = {
    /* two measures */
    HOSTILE_Q(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"),
    HOSTILE_R(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    HOSTILE_R(OK "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
    HOSTILE_Q(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    HOSTILE_R(OK "Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n\r\nhello!"),
    HOSTILE_Q(POST "Content-Length: 5, 5\r\n\r\nhello"),
    HOSTILE_Q(POST "Content-Length: 5 5\r\n\r\nhello"),
    /* no number */
    HOSTILE_Q(POST "Content-Length:\r\n\r\n"),
    HOSTILE_Q(POST "Content-Length: +5\r\n\r\nhello"),
    HOSTILE_Q(POST "Content-Length: -1\r\n\r\n"),
    HOSTILE_Q(POST "Content-Length: 0x5\r\n\r\nhello"),
    HOSTILE_Q(POST "Content-Length: 5;\r\n\r\nhello"),
    HOSTILE_Q(POST "Content-Length: 5_0\r\n\r\nhello"),
    HOSTILE_Q(POST "Content-Length: \xd9\xa5\r\n\r\nhello"),
    HOSTILE_Q(POST "Content-Length: 5\v\r\n\r\nhello"),
    HOSTILE_Q(POST "Content-Length: 18446744073709551621\r\n\r\nhello"),
    HOSTILE_R(OK "Content-Length: 5.0\r\n\r\nhello"),
    /* codings */
    HOSTILE_Q(POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: gzip\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: identity\r\n\r\n"),
    HOSTILE_R(OK "Transfer-Encoding: identity\r\n\r\nabc"),
    HOSTILE_Q(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_R(OK "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding:\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: gzip chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_R("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q("CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"),
    HOSTILE_Q("CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    /* lines of a head */
    HOSTILE_Q(POST "Content-Length : 5\r\n\r\nhello"),
    HOSTILE_Q(POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "X y: z\r\n\r\n"),
    HOSTILE_Q(POST " Content-Length: 5\r\n\r\nhello"),
    HOSTILE_Q("POST / HTTP/1.1\r\n Host: a\r\n\r\n"),
    HOSTILE_Q(POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    HOSTILE_Q(POST "X: y\r\n\tContent-Length: 5\r\n\r\nhello"),
    HOSTILE_R(OK "X: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    HOSTILE_Q(POST "X: a\rContent-Length: 5\r\n\r\nhello"),
    HOSTILE_Q(POST "X: a\r\rContent-Length: 5\r\n\r\nhello"),
    HOSTILE_Q(POST "\rContent-Length: 5\r\n\r\nhello"),
    HOSTILE_Q(POST "X: a\0b\r\n\r\n"),
    HOSTILE_Q(POST "Content-Length: 5\0\r\n\r\nhello"),
    HOSTILE_Q(POST "Content\0-Length: 5\r\n\r\nhello"),
    HOSTILE_Q(POST ": 5\r\n\r\n"),
    HOSTILE_Q(POST "no colon\r\n\r\n"),
    HOSTILE_Q(POST "Content-Length\r\n\r\n"),
    HOSTILE_Q(POST "Content-Length\xc2\xa0: 5\r\n\r\n"),
    /* start lines */
    HOSTILE_Q("GET /\r\n\r\n"),
    HOSTILE_Q("GET  / HTTP/1.1\r\n\r\n"),
    HOSTILE_Q("GET /a b HTTP/1.1\r\n\r\n"),
    HOSTILE_Q("GET /\tHTTP/1.1\r\n\r\n"),
    HOSTILE_Q(" GET / HTTP/1.1\r\n\r\n"),
    HOSTILE_Q("GET / HTTP/1.1 \r\n\r\n"),
    HOSTILE_Q("GET / HTTP/1.10\r\n\r\n"),
    HOSTILE_Q("GET / HTTP/2.0\r\n\r\n"),
    HOSTILE_Q("GET / http/1.1\r\n\r\n"),
    HOSTILE_Q("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    HOSTILE_Q("GET / HTTP/1.1\r\r\n\r\n"),
    HOSTILE_Q("G\xc3\x89T / HTTP/1.1\r\n\r\n"),
    HOSTILE_Q("GET /\x7f HTTP/1.1\r\n\r\n"),
    HOSTILE_Q("\r\r\n" GET),
    HOSTILE_Q("\r" GET),
    HOSTILE_Q("\x16\x03\x01\x02\x00\x01\x00"),
    HOSTILE_Q("*1\r\n$4\r\nPING\r\n"),
    HOSTILE_R("\r\n" OK "\r\n"),
    HOSTILE_R("HTTP/1.1  200 OK\r\n\r\n"),
    HOSTILE_R("HTTP/1.1 20 OK\r\n\r\n"),
    HOSTILE_R("HTTP/1.1 2000 OK\r\n\r\n"),
    HOSTILE_R("HTTP/1.1 099 OK\r\n\r\n"),
    HOSTILE_R("HTTP/2 200\r\n\r\n"),
    HOSTILE_R("ICY 200 OK\r\n\r\n"),
    HOSTILE_R("HTTP/1.1 200 O\rK\r\n\r\n"),
    HOSTILE_R("HTTP/1.1 200 O\0K\r\n\r\n"),
    HOSTILE_R("HTTP/1.1 101 Up\r\nUpgrade: websocket\r\n\r\n"),
    /* chunked framing */
    HOSTILE_QB(CHUNKED "\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "-5\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "+5\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED " 5\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5 5\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "G\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5\r\nhello\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5\r\nhello0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5\r\nhelloo\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5\r\nhello\r\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5;a\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5;a\rhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5;a\0b\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "5\rhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    HOSTILE_QB(CHUNKED "0\r\nX: a\rb\r\n\r\n"),
    HOSTILE_QB(CHUNKED "0\r\n\rX\r\n\r\n"),
    HOSTILE_QB(CHUNKED "0\r\n\0X: a\r\n\r\n"),
    HOSTILE_QB(CHUNKED "0\r\nX\0: a\r\n\r\n"),
    /* behind the end */
    {Q1 "rLOST qLOST",
     {Q(GET), R_END, R(OK "Content-Length: 0\r\n\r\n"), Q("\r\n"), Q_END, Q(GET)}},
    {"qLOST", {Q("GET / HT"), Q_END, Q("TP/1.1\r\n\r\n"), Q_END}},
    /* answers to nothing */
    {"rLOST", {R(OK "Content-Length: 0\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=0 rLOST",
     {Q(GET), R(OK "Content-Length: 0\r\n\r\n" OK "Content-Length: 0\r\n\r\n")}},
    {Q1 "r1{HTTP/1.1 200 OK} r1=2 rLOST q2{GET / HTTP/1.1} q2=0",
     {Q(GET), R(OK "Content-Length: 2\r\n\r\nabc"), Q(GET), R(OK "\r\n")}},
    {"q1{HEAD / HTTP/1.1} q1=0 r1{HTTP/1.1 200 OK} r1=0 rLOST",
     {Q("HEAD / HTTP/1.1\r\n\r\n"), R(OK "Content-Length: 2\r\n\r\nab")}},
    {"rLOST q1{GET / HTTP/1.1} q1=0",
     {Q("GET / HTTP/1.1\r\n"), R("HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n"), Q("\r\n")}},
};

#endif
