# The short way for people; meson does the work (see HACKING.md).
BUILD := build
CHECK := build-check

.PHONY: all demo check check-long bench install clean packages
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/install-packages build
	meson setup $(BUILD)

# Builds a Debian root file system from the archive; see README.md.
demo: packages
	@$(MAKE) --no-print-directory all
	@tools/demo

check:
	@tools/install-packages build run check
	@tools/check $(CHECK)

# The same with minutes of random changes to views in place of seconds.
check-long:
	@COPPICE_FUZZ_COUNT=5000 $(MAKE) --no-print-directory check

bench: packages
	@tools/install-packages bench
	@$(MAKE) --no-print-directory all
	@bench/run

install: all
	meson install -C $(BUILD) --no-rebuild

packages:
	@tools/install-packages build run

clean:
	rm -rf $(BUILD) $(CHECK) out
