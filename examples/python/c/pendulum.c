/* A damped pendulum of any amplitude: a line with four parameters in, a line with its angle at 50 times out.
 *
 *     cc -O2 -o pendulum pendulum.c -lm
 *     echo 3.0 0.2 2.5 0.0 | ./pendulum
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_TIMES = 50, STEPS = 20 };
static const double INTERVAL = 0.2; /* seconds between two times; the first is 0 */

typedef struct {
    double angle, rate; /* radians, radians a second */
} State;

static State slope(State s, double omega, double damping) {
    State slope = {s.rate, -omega * omega * sin(s.angle) - damping * s.rate};
    return slope;
}

static State moved(State s, State slope, double h) {
    State moved = {s.angle + h * slope.angle, s.rate + h * slope.rate};
    return moved;
}

/* One step of Runge and Kutta's method of fourth order. */
static State step(State s, double omega, double damping, double h) {
    State a = slope(s, omega, damping);
    State b = slope(moved(s, a, h / 2), omega, damping);
    State c = slope(moved(s, b, h / 2), omega, damping);
    State d = slope(moved(s, c, h), omega, damping);
    State mean = {(a.angle + 2 * b.angle + 2 * c.angle + d.angle) / 6, (a.rate + 2 * b.rate + 2 * c.rate + d.rate) / 6};
    return moved(s, mean, h);
}

int main(void) {
    static char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        double omega, damping;
        State s;
        if (sscanf(line, "%lf %lf %lf %lf", &omega, &damping, &s.angle, &s.rate) != 4) {
            printf("error: expected four numbers\n");
        } else {
            for (int i = 0; i < N_TIMES; i++) {
                printf(i == 0 ? "%.17g" : " %.17g", s.angle);
                for (int j = 0; j < STEPS; j++) {
                    s = step(s, omega, damping, INTERVAL / STEPS);
                }
            }
            printf("\n");
        }
        fflush(stdout); /* without it the answer stays here, and both sides wait */
    }
    return EXIT_SUCCESS;
}
