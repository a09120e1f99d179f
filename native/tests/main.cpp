#include "harness.h"

int main(int argument_count, char** arguments) {
    return nlm::tests::run_tests(argument_count, arguments);
}
