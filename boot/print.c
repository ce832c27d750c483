// SPDX-License-Identifier: MIT
/* printf() with what the tests need: %s %c %d %u %x %p %%, with l, ll, z, a width and 0. One line at a time reaches the serial port. */
#include "kernel.h"

static uint32_t console;

static void put_string(const char *s)
{
	for (; *s; s++)
		arch_putc(*s);
}

static void put_number(unsigned long long value, unsigned base, unsigned width, char pad)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n < width && width < sizeof(digits))
		digits[n++] = pad;
	while (n)
		arch_putc(digits[--n]);
}

static long long signed_arg(unsigned size, va_list *args)
{
	return size ? va_arg(*args, long long) : va_arg(*args, int);
}

static unsigned long long unsigned_arg(unsigned size, va_list *args)
{
	return size ? va_arg(*args, unsigned long long) : va_arg(*args, unsigned);
}

static void put_signed(long long value, unsigned width, char pad)
{
	if (value < 0)
		arch_putc('-');
	put_number(value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value, 10, width, pad);
}

/* One conversion; format stands behind the percent sign. Gives what follows. */
static const char *convert(const char *format, va_list *args)
{
	char pad = *format == '0' ? '0' : ' ';
	unsigned width = 0, size = 0;

	for (; *format >= '0' && *format <= '9'; format++)
		width = width * 10 + (unsigned)(*format - '0');
	for (; *format == 'l' || *format == 'z'; format++)
		size = 1;
	switch (*format) {
	case 's':
		put_string(va_arg(*args, const char *));
		break;
	case 'c':
		arch_putc((char)va_arg(*args, int));
		break;
	case 'd':
		put_signed(signed_arg(size, args), width, pad);
		break;
	case 'u':
		put_number(unsigned_arg(size, args), 10, width, pad);
		break;
	case 'x':
		put_number(unsigned_arg(size, args), 16, width, pad);
		break;
	case 'p':
		put_string("0x");
		put_number((uintptr_t)va_arg(*args, void *), 16, 0, pad);
		break;
	default:
		arch_putc(*format);
	}
	return format + 1;
}

void vprint(const char *format, va_list args)
{
	va_list copy;

	va_copy(copy, args);
	spin_lock(&console);
	while (*format) {
		if (*format == '%')
			format = convert(format + 1, &copy);
		else
			arch_putc(*format++);
	}
	spin_unlock(&console);
	va_end(copy);
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(format, args);
	va_end(args);
}
