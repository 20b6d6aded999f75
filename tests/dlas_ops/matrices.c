// Instructions that multiply matrices (AMX), computed for a processor that has none: it raises SIGILL at each of them.
//
// `install` makes this the handler. What an instruction does not allow ends the process as on a real processor: the
// handler says why and gives SIGILL back. Source: Intel 64 and IA-32 Architectures Software Developer's Manual,
// volume 2, of each instruction.

#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { REGISTERS = 8, ROWS = 16, ROW_BYTES = 64 };

typedef struct {
  int configured;
  uint16_t width[REGISTERS];  // bytes of a row
  uint8_t rows[REGISTERS];
  uint8_t data[REGISTERS][ROWS][ROW_BYTES];
} Matrices;

static __thread Matrices *own;  // of this thread
static atomic_long counts[3];  // how often was begun, multiplied, ended

static int refuse(const char *reason) {
  const char *head = "matrices.c: ";
  if (write(2, head, strlen(head)) < 0 || write(2, reason, strlen(reason)) < 0 || write(2, "\n", 1) < 0) return 0;
  return 0;
}

static long long *general(ucontext_t *context, int number) {
  static const int places[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return &context->uc_mcontext.gregs[places[number]];
}

static int configure(const uint8_t *from) {
  if (from[0] != 1) return refuse("the palette is not 1");
  memset(own, 0, sizeof *own);
  own->configured = 1;
  for (int i = 0; i < REGISTERS; i++) {
    memcpy(&own->width[i], from + 16 + 2 * i, 2);
    own->rows[i] = from[48 + i];
    if (own->rows[i] > ROWS || own->width[i] > ROW_BYTES || !own->rows[i] != !own->width[i])
      return refuse("a matrix of no such size");
  }
  for (int i = 1; i < 16; i++)
    if (from[i]) return refuse("a reserved byte of the configuration is not zero");
  return 1;
}

static float wide(const uint8_t *from) {
  uint32_t bits = (uint32_t)from[1] << 24 | (uint32_t)from[0] << 16;
  if (!(bits & 0x7f800000)) bits &= 0x80000000;  // denormal numbers count as zero
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static int multiply(int sums, int data, int weights, int floats, int data_signed, int weights_signed) {
  if (!own->rows[sums] || !own->rows[data] || !own->rows[weights]) return refuse("a product of a matrix without rows");
  if (sums == data || sums == weights || data == weights) return refuse("a product of a matrix with itself");
  if (own->rows[sums] != own->rows[data] || own->width[sums] != own->width[weights] ||
      own->width[data] != 4 * own->rows[weights])
    return refuse("a product of matrices whose sizes do not fit");
  for (int m = 0; m < own->rows[sums]; m++) {
    for (int n = 0; n < own->width[sums] / 4; n++) {
      int32_t sum = 0;
      float even = 0, odd = 0;
      for (int k = 0; k < own->rows[weights]; k++) {
        const uint8_t *a = &own->data[data][m][4 * k], *b = &own->data[weights][k][4 * n];
        if (floats) {
          even += wide(a) * wide(b);
          odd += wide(a + 2) * wide(b + 2);
        }
        for (int q = 0; q < 4 && !floats; q++) {
          int left = data_signed ? (int8_t)a[q] : a[q], right = weights_signed ? (int8_t)b[q] : b[q];
          sum += left * right;
        }
      }
      uint8_t *place = &own->data[sums][m][4 * n];
      if (floats) {
        float before;
        memcpy(&before, place, 4);
        before += even + odd;
        memcpy(place, &before, 4);
      } else {
        int32_t before;
        memcpy(&before, place, 4);
        before += sum;
        memcpy(place, &before, 4);
      }
    }
  }
  atomic_fetch_add(&counts[1], 1);
  return 1;
}

static void move(int number, uint8_t *base, long long stride, int store) {
  for (int row = 0; row < own->rows[number]; row++) {
    uint8_t *memory = base + row * stride, *held = own->data[number][row];
    if (store)
      memcpy(memory, held, own->width[number]);
    else
      memcpy(held, memory, own->width[number]);
  }
}

// Returns the length of the instruction that was computed; 0: it is none of these, or not allowed.
static int compute(ucontext_t *context) {
  const uint8_t *code = (const uint8_t *)context->uc_mcontext.gregs[REG_RIP], *at = code + 5;
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || code[2] & 0x84) return 0;  // VEX.128.0F38.W0
  int extend_reg = !(code[1] & 0x80) << 3, extend_index = !(code[1] & 0x40) << 3, extend_base = !(code[1] & 0x20) << 3;
  int third = ~(code[2] >> 3) & 15, prefix = code[2] & 3, operation = code[3], modrm = code[4];
  enum { NONE, P66, PF3, PF2 };
  int mode = modrm >> 6, reg = (modrm >> 3 & 7) | extend_reg, rm = modrm & 7;
  long long stride = 0;
  uint8_t *address = NULL;
  if (mode != 3) {
    if (rm == 4) {
      int sib = *at++, index = (sib >> 3 & 7) | extend_index, base = (sib & 7) | extend_base;
      if (index != 4) stride = *general(context, index) << (sib >> 6);
      if ((sib & 7) == 5 && mode == 0) return refuse("an address without a base register");
      address = (uint8_t *)*general(context, base);
    } else if (rm == 5 && mode == 0) {
      int32_t distance;
      memcpy(&distance, at, 4);
      address = (uint8_t *)code + 9 + distance;
      at += 4;
    } else {
      address = (uint8_t *)*general(context, rm | extend_base);
    }
    if (mode == 1) address += (int8_t)*at++;
    if (mode == 2) {
      int32_t distance;
      memcpy(&distance, at, 4);
      address += distance;
      at += 4;
    }
  }
  int length = (int)(at - code);
  if (!own) own = calloc(1, sizeof *own);
  if (operation == 0x49 && prefix == NONE && mode != 3) {
    atomic_fetch_add(&counts[0], 1);
    return configure(address) ? length : 0;
  }
  if (operation == 0x49 && prefix == NONE && modrm == 0xc0) {
    atomic_fetch_add(&counts[2], 1);
    own->configured = 0;
    return length;
  }
  if (operation != 0x49 && operation != 0x4b && operation != 0x5c && operation != 0x5e) return 0;
  if (!own->configured) return refuse("matrices of no size yet");
  if (operation == 0x49 && prefix == PF2 && mode == 3) {
    if (!own->rows[reg]) return refuse("zeros for a matrix without rows");
    memset(own->data[reg], 0, sizeof own->data[reg]);
    return length;
  }
  if (operation == 0x4b && mode != 3 && prefix != NONE) {
    if (!own->rows[reg]) return refuse("a load or a store of a matrix without rows");
    if (prefix != PF3) memset(own->data[reg], 0, sizeof own->data[reg]);
    move(reg, address, stride, prefix == PF3);
    return length;
  }
  if (operation == 0x5e && mode == 3)  // none: both unsigned; 66: data unsigned; F3: weights unsigned; F2: neither
    return multiply(reg, rm, third, 0, prefix == PF3 || prefix == PF2, prefix == P66 || prefix == PF2) ? length : 0;
  if (operation == 0x5c && mode == 3 && prefix == PF3) return multiply(reg, rm, third, 1, 0, 0) ? length : 0;
  return 0;
}

static void handle(int signal_number, siginfo_t *information, void *context) {
  (void)information;
  int length = compute((ucontext_t *)context);
  if (length)
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += length;
  else
    signal(signal_number, SIG_DFL);
}

void install(void) {
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGILL, &action, NULL);
}

long count(int which) { return atomic_load(&counts[which]); }
