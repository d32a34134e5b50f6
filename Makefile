# Tenon: `make demo` shows it at work, `make check` proves it. `make help` lists the rest.
#
# Everything is built under $(BUILD); sources are found by their folders, so that adding a file is all it takes to add an
# operator, a kernel or a test. Tables of operators and kernels are written from the file names.
BUILD ?= build
CC ?= cc
PREFIX ?= /usr/local
VERSION := 0.1.0
SOVERSION := 0
MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1)

# In C11 as GCC has it for s390x, floats are computed as doubles; everywhere else they are not.
FLOATS := $(if $(filter s390x,$(MACHINE)),-fexcess-precision=fast)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
# Under a sanitizer, loops that are meant to become vectors do not.
WARN += $(if $(SANITIZE),-Wno-pass-failed)
OPT ?= -O2 -g
KERNEL_OPT ?= -O3
# Unit tests, which ask much of the compiler and little of the processor.
TEST_OPT ?= $(subst -O2,-O1,$(OPT))
# What does not compute, but keeps files, talks, reads plans or arranges graphs, is small rather than fast.
SMALL := ensemble mqtt passes plan registry sign store train/grad trust tune
SMALL_OPT ?= $(if $(filter -O2,$(OPT)),-Os)
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE -DTN_BUILD_SHARED -DTN_VERSION=\"$(VERSION)\" -fPIC -fvisibility=hidden \
             -ffp-contract=off -fno-math-errno $(FLOATS) $(WARN) $(OPT) $(SANITIZE) -Iinclude -Ilib $(CFLAGS)
# The command and the examples use the public headers alone, as any host does.
HOST_FLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(OPT) $(SANITIZE) -Iinclude $(CFLAGS)
LIBS := -lm -lpthread -ldl
# Libraries that are used where pkg-config finds them; WITH_<NAME>=0 leaves one out.
OPTIONAL := OPENBLAS:openblas ZLIB:zlib YAML:yaml-0.1 PNG:libpng JPEG:libjpeg JPEG2000:libopenjp2 WEBP:libwebp SODIUM:libsodium JANSSON:jansson CURL:libcurl OPENSSL:libcrypto MOSQUITTO:libmosquitto
# Some are loaded when they are first needed, not linked: see lib/compress/blas.h, lib/registry/curl.h, lib/sign/crypto.h,
# lib/mqtt/mosquitto.h; so is Open MPI, by lib/train/mpi.c.
LOADED := OPENBLAS CURL OPENSSL MOSQUITTO
define optional
WITH_$(1) ?= $$(shell pkg-config --exists $(2) 2>/dev/null && echo 1 || echo 0)
CFLAGS_ALL += -DTN_WITH_$(1)=$$(WITH_$(1))
ifeq ($$(WITH_$(1)),1)
CFLAGS_ALL += $$(shell pkg-config --cflags $(2))
LIBS += $$(if $$(filter $(1),$$(LOADED)),,$$(shell pkg-config --libs $(2)))
endif
endef
$(foreach o,$(OPTIONAL),$(eval $(call optional,$(word 1,$(subst :, ,$(o))),$(word 2,$(subst :, ,$(o))))))

# Kernel files end in the instruction set that they need: lib/kernels/<family>_<level>.c
ifeq ($(MACHINE),x86_64)
LEVELS := scalar avx2 avxvnni avx512 vnni bf16 amx
else ifeq ($(MACHINE),aarch64)
LEVELS := scalar neon dotprod i8mm
else
LEVELS := scalar
endif
FLAGS_scalar :=
FLAGS_avx2 := -mavx2 -mfma -mf16c
FLAGS_avxvnni := $(FLAGS_avx2) -mavxvnni
FLAGS_avx512 := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mprefer-vector-width=512
FLAGS_vnni := $(FLAGS_avx512) -mavx512vnni
FLAGS_bf16 := $(FLAGS_vnni) -mavx512bf16
FLAGS_amx := $(FLAGS_bf16) -mamx-tile -mamx-int8 -mamx-bf16
FLAGS_neon :=
FLAGS_dotprod := -march=armv8.2-a+dotprod+fp16
FLAGS_i8mm := -march=armv8.2-a+dotprod+fp16+i8mm

ALL_LEVELS := scalar avx2 avxvnni avx512 vnni bf16 amx neon dotprod i8mm
KERNELS := $(foreach l,$(LEVELS),$(sort $(wildcard lib/kernels/*_$(l).c)))
OTHER_KERNELS := $(foreach l,$(ALL_LEVELS),$(wildcard lib/kernels/*_$(l).c))
# Files of operators have a table of them; others there are helpers that several share.
OPS := $(sort $(shell grep -ls 'tn_op tn_ops_' lib/ops/*.c lib/train/ops/*.c))
# Gradients likewise.
GRADIENTS := $(sort $(wildcard lib/train/grad/*.c))
# Without their libraries stores, trust, registries and signatures have one file each, whose functions say so.
# $(call without,1 if they are there,FOLDERS): what of the folders is left out
without = $(foreach f,$(2),$(if $(1),lib/$(f)/absent.c,$(filter-out lib/$(f)/absent.c,$(wildcard lib/$(f)/*.c))))
LEFT_OUT := $(call without,$(filter 11,$(WITH_SODIUM)$(WITH_JANSSON)),store trust) \
            $(call without,$(filter 111,$(WITH_SODIUM)$(WITH_JANSSON)$(WITH_CURL)),registry) \
            $(filter-out $(addprefix lib/sign/,bundle.c crypto.c file.c),$(call without,$(filter 1,$(WITH_SODIUM)),sign)) \
            $(filter-out $(addprefix lib/mqtt/,broker.c announce.c listener.c),$(call without,$(filter 1,$(WITH_MOSQUITTO)),mqtt))
SOURCES := $(filter-out $(OTHER_KERNELS) $(LEFT_OUT),$(sort $(wildcard lib/*/*.c lib/train/*/*.c))) $(KERNELS)
GENERATED := $(BUILD)/gen/ops.c $(BUILD)/gen/gradients.c $(BUILD)/gen/kernels.c $(BUILD)/gen/sources.c
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(GENERATED:.c=.o)
TESTS := $(sort $(wildcard tests/unit/*.c))
# The longest go first, since they run side by side: here, under sanitizers, or under qemu.
LONGEST := tests/faults/store \
    $(addprefix tests/unit/,spill packs plan plan_sequences turns store trainer_recompute conv_pair delta trust mutated conv)
TEST_PROGRAMS := $(addprefix $(BUILD)/,$(LONGEST) $(filter-out $(LONGEST),$(TESTS:%.c=%)))
CONFORMANCE := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/conformance/*.c))
FUZZERS := $(filter-out $(BUILD)/tests/fuzz/variants,$(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/*.c)))
BENCHES := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))
TOOL_SOURCES := $(sort $(wildcard examples/tenon/*.c))
TOOL := $(if $(TOOL_SOURCES),$(BUILD)/tenon)
DEMO_SOURCES := $(sort $(wildcard examples/demo/*.c))

# V=1 shows the commands.
Q := $(if $(V),,@)
SAY := $(if $(V),@true,@printf '  %s %s\n')

all: lib $(TOOL) examples
lib: $(BUILD)/libtenon.a $(BUILD)/libtenon.so
examples: $(EXAMPLES)

$(BUILD)/libtenon.a: $(OBJECTS)
	$(SAY) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $(OBJECTS)

$(BUILD)/libtenon.so.$(VERSION): $(OBJECTS) lib/libtenon.map
	$(SAY) LD $@
	$(Q)$(CC) -shared $(SANITIZE) $(LDFLAGS) -Wl,-soname,libtenon.so.$(SOVERSION) -Wl,--version-script=lib/libtenon.map \
	    -o $@ $(OBJECTS) $(LIBS)
$(BUILD)/libtenon.so: $(BUILD)/libtenon.so.$(VERSION)
	@ln -sf libtenon.so.$(VERSION) $(BUILD)/libtenon.so.$(SOVERSION)
	@ln -sf libtenon.so.$(SOVERSION) $@

# A row a file: what the file name says must be in it.
# $(call tables,HEADER,TYPE,PREFIX OF ITS TABLES,FUNCTION,FILES)
define tables
	@mkdir -p $(@D)
	@{ echo '#include "$(1)"'; \
	  for f in $(notdir $(5:.c=)); do echo "extern const $(2) $(3)_$$f[];"; done; \
	  echo 'static const $(2) *const tables[] = {'; \
	  for f in $(notdir $(5:.c=)); do echo "    $(3)_$$f,"; done; \
	  echo '    NULL,'; echo '};'; \
	  echo 'const $(2) *const *$(4)(void) { return tables; }'; } > $@
endef
$(BUILD)/gen/ops.c: $(OPS) Makefile
	$(call tables,graph/op.h,tn_op,tn_ops,tn_op_tables,$(OPS))
$(BUILD)/gen/gradients.c: $(GRADIENTS) Makefile
	$(call tables,train/gradient.h,tn_gradient,tn_gradients,tn_gradient_tables,$(GRADIENTS))
$(BUILD)/gen/kernels.c: $(KERNELS) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "kernels/registry.h"'; \
	  for f in $(notdir $(KERNELS:.c=)); do echo "void tn_$$f(tn_kernels *table);"; done; \
	  echo 'const tn_kernel_file tn_kernel_files[] = {'; \
	  for l in $(LEVELS); do for f in $(notdir $(KERNELS:.c=)); do \
	    case $$f in *_$$l) echo "    {TN_CPU_$$(echo $$l | tr a-z A-Z), tn_$$f}," ;; esac; done; done; \
	  echo '    {TN_CPU_SCALAR, NULL},'; echo '};'; } > $@

# What was packed by one library serves only the same: the digest of its sources, since versions are too few to tell.
$(BUILD)/gen/sources.c: $(SOURCES) $(wildcard lib/*/*.h lib/*/*.inc) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "exec/host.h"'; \
	  echo "const char tn_sources[] = \"$(MACHINE) $$(cat $(sort $(SOURCES) $(wildcard lib/*/*.h lib/*/*.inc)) | sha256sum | cut -c1-64)\";"; \
	  } > $@

level_of = $(FLAGS_$(filter $(LEVELS),$(lastword $(subst _, ,$(basename $(notdir $(1)))))))
# What a kernel does is measured; -O3 for those alone keeps the library small.
$(BUILD)/lib/kernels/%.o: lib/kernels/%.c
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(CFLAGS_ALL) $(KERNEL_OPT) -Wno-missing-prototypes $(call level_of,$<) -MMD -MP -c $< -o $@
$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(SAY) CC $<
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@
small_of = $(if $(filter $(SMALL),$(patsubst lib/%/,%,$(dir $(1)))),$(SMALL_OPT))
$(BUILD)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(CFLAGS_ALL) $(call small_of,$<) -MMD -MP -c $< -o $@
$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(CFLAGS_ALL) $(if $(filter tests/unit/%,$<),$(TEST_OPT)) -Itests -MMD -MP -c $< -o $@
$(BUILD)/examples/tenon/%.o: examples/tenon/%.c
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(HOST_FLAGS) -MMD -MP -c $< -o $@
$(BUILD)/examples/demo/%.o: examples/demo/%.c
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(HOST_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libtenon.a
	$(SAY) LD $@
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $< $(BUILD)/libtenon.a -lcmocka $(LIBS)
$(BUILD)/tests/faults/%: $(BUILD)/tests/faults/%.o $(BUILD)/tests/faults/disk.o $(BUILD)/tests/faults/disk_replay.o $(BUILD)/libtenon.a
	$(SAY) LD $@
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)
# OpenBLAS is what products are measured beside.
$(BUILD)/tests/bench/limits: LIBS += $(if $(filter 1,$(WITH_OPENBLAS)),$(shell pkg-config --libs openblas))
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libtenon.a
	$(SAY) LD $@
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $< $(BUILD)/libtenon.a $(LIBS)
$(BUILD)/tests/conformance/%: $(BUILD)/tests/conformance/%.o $(BUILD)/libtenon.a
	$(SAY) LD $@
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $< $(BUILD)/libtenon.a -lcmocka $(LIBS)
# libFuzzer brings their main; only clang has it: see tests/fuzz.sh.
$(FUZZERS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libtenon.a
	$(SAY) LD $@
	$(Q)$(CC) $(SANITIZE) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(LIBS)
$(BUILD)/tests/fuzz/variants: $(BUILD)/tests/fuzz/variants.o $(BUILD)/libtenon.a
	$(SAY) LD $@
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LIBS)
$(BUILD)/examples/%: examples/%.c $(BUILD)/libtenon.a
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(HOST_FLAGS) $(LDFLAGS) -o $@ $< $(BUILD)/libtenon.a $(LIBS)
$(BUILD)/tenon: $(TOOL_SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/libtenon.a
	$(SAY) LD $@
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LIBS)
$(BUILD)/demo: $(DEMO_SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/libtenon.a
	$(SAY) LD $@
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LIBS)

setup: # installs what the checks need and this machine lacks
	tests/setup/packages.sh
	tests/setup/venv.sh
# The checks build only after `setup`: a machine may lack even the compiler's libraries before it.
test:
	tests/setup/packages.sh
	@$(MAKE) --no-print-directory all unit
unit: $(TEST_PROGRAMS)
	@tests/run-programs.sh $(TEST_PROGRAMS)
# ONNX's own tests, from the folder onnx/backend/test/data of its Python package.
PYTHON := $(firstword $(wildcard build/venv/bin/python) python3)
ONNX_DATA ?= $(shell $(PYTHON) -c 'import onnx, os; print(os.path.dirname(onnx.__file__) + "/backend/test/data")' 2>/dev/null)
conformance: $(CONFORMANCE)
	$(BUILD)/tests/conformance/onnx_backend --known tests/conformance/known_failures.txt $(ONNX_DATA)
	$(BUILD)/tests/conformance/onnx_backend tests/conformance # models of old opsets, sequences in loops
fuzzers: $(FUZZERS)
benches: $(BENCHES)
demo: # real models on real input, beside ONNX Runtime
	tests/setup/packages.sh demo
	BUILD=$(BUILD) tests/models/real_inputs.sh
	@$(BUILD)/demo --compare build/models/cases/recorded
	@$(MAKE) --no-print-directory $(BUILD)/tenon $(BUILD)/examples/follow_model
	@BUILD=$(BUILD) examples/demo/life.sh # from data to a machine that runs it
check:
	tests/check.sh
format:
	@clang-format -i $(shell git ls-files '*.c' '*.h')
lint:
	@clang-format --dry-run -Werror $(shell git ls-files '*.c' '*.h')
# Some minutes. Kernels of other machines, and what uses intrinsics, are the compilers' to look at.
PORTABLE := $(filter-out $(foreach l,$(filter-out scalar,$(ALL_LEVELS)),%_$(l).c),$(wildcard lib/*/*.c lib/train/*/*.c))
analyze:
	cppcheck --quiet -j $(shell nproc) --std=c11 --enable=warning,performance,portability --error-exitcode=1 \
	    --suppressions-list=tests/setup/cppcheck.txt $(filter -D% -I%,$(CFLAGS_ALL)) lib examples
	@printf '%s\n' $(PORTABLE) | xargs -P $(shell nproc) -n 8 sh -c \
	    'clang-tidy -quiet "$$@" -- $(filter -std% -D% -I%,$(CFLAGS_ALL)) 2>/dev/null' tidy

install: all
	install -d $(DESTDIR)$(PREFIX)/include/tenon $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/bin
	install -m 644 include/tenon/*.h $(DESTDIR)$(PREFIX)/include/tenon/
	install -m 644 $(BUILD)/libtenon.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 -s $(BUILD)/libtenon.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/
	ln -sf libtenon.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libtenon.so.$(SOVERSION)
	ln -sf libtenon.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libtenon.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' pkgconfig/tenon.pc.in \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/tenon.pc
	$(if $(TOOL),install -m 755 $(TOOL) $(DESTDIR)$(PREFIX)/bin/)

clean:
	rm -rf $(BUILD)
help:
	@echo 'make          the library and the tenon command, under build/'
	@echo 'make demo     real models on real input: installs what is missing, builds, runs'
	@echo 'make test     the unit tests (under two minutes)'
	@echo 'make check    everything that proves the library; installs what it needs'
	@echo 'make install  PREFIX=/usr/local DESTDIR='
	@echo 'make format lint clean'
	@echo 'make analyze  cppcheck and clang-tidy'

.PHONY: all lib examples setup demo test unit conformance fuzzers benches check format lint analyze install clean help
.SECONDARY:
-include $(wildcard $(OBJECTS:.o=.d) $(BUILD)/tests/*/*.d $(BUILD)/examples/*/*.d)
