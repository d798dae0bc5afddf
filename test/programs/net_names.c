/* Name lookups that need no name server: every answer, error code, errno and h_errno as bare. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>

static void look(const char *node, const char *service, const struct addrinfo *hints)
{
    struct addrinfo *list = NULL;
    int error, count = 0;

    errno = 0;
    error = getaddrinfo(node, service, hints, &list);
    for (struct addrinfo *i = error ? NULL : list; i; i = i->ai_next)
        count++;
    printf("%.20s %s: %d, %d found\n", node ? node : "-", service ? service : "-", error, count);
    if (!error)
        freeaddrinfo(list);
}

int main(void)
{
    struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST}, family = {.ai_family = 77};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct hostent space, *result;
    char host[64], buffer[1024], long_name[2000];
    int error = 0;

    look("localhost", NULL, NULL);
    look("127.0.0.1", "80", NULL);
    look("::1", NULL, NULL);
    look(NULL, "http", NULL);
    look(NULL, NULL, NULL);
    look("localhost", NULL, &numeric);
    look("localhost", NULL, &family);
    look("localhost", "no-such-service", NULL);
    look("", NULL, NULL);
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    look(long_name, NULL, NULL);

    h_errno = 7;
    struct hostent *h = gethostbyname("localhost");
    printf("%s\n", h ? h->h_name : "none");
    h = gethostbyname("10.1.2.3");
    printf("%s\n", h ? inet_ntoa(*(struct in_addr *)h->h_addr_list[0]) : "none");
    printf("%d\n", gethostbyname_r("localhost", &space, buffer, 4, &result, &error));
    printf("%d %d\n", result == NULL, error);
    printf("%d\n", gethostbyname_r("localhost", &space, buffer, sizeof(buffer), &result, &error));
    printf("%s\n", result ? result->h_name : "none");
    printf("%d\n", gethostbyaddr_r(&in.sin_addr, 4, AF_INET, &space, buffer, sizeof(buffer),
                                   &result, &error));
    printf("%s\n", result ? result->h_name : "none");
    printf("%d\n", getnameinfo((void *)&in, sizeof(in), host, sizeof(host), NULL, 0, 0));
    printf("%s\n", host);
    printf("%d\n", getnameinfo((void *)&in, sizeof(in), host, 2, NULL, 0, NI_NUMERICHOST));
    printf("%d\n", getnameinfo((void *)&in, 3, host, sizeof(host), NULL, 0, 0));
    printf("%d\n", getnameinfo(NULL, 0, NULL, 0, NULL, 0, 0));
    printf("%d\n", res_query(long_name, 1, 1, (unsigned char *)buffer, sizeof(buffer)));
    printf("%d\n", h_errno);
    return 0;
}
