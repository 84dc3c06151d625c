// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
#include "command.h"

int main(int argc, char **argv)
{
	return command(argc, argv);
}
