# The short way for people; meson does the work (see HACKING.md).
BUILD := build
CHECK := build-check

.PHONY: all demo check analyze check-threads check-long check-images check-sharing torture torture-errors torture-mutants bench install clean packages
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
	@tools/install-packages build run check ceph
	@tools/check $(CHECK)

# gcc -fanalyzer over every source, for about half an hour.
analyze: packages
	@$(MAKE) --no-print-directory all
	@tools/analyze $(BUILD)

# The unit tests with a look at who touches what without a lock; five minutes.
check-threads:
	@tools/install-packages build run check
	@[ -f build-threads/build.ninja ] || \
		meson setup build-threads -Db_sanitize=thread -Db_lundef=false
	@ninja -C build-threads
	@TSAN_OPTIONS=exitcode=66 meson test -C build-threads --no-rebuild \
		--print-errorlogs --timeout-multiplier 8 --suite unit

# `make check` with minutes of random changes to views in place of seconds.
check-long:
	@COPPICE_FUZZ_COUNT=5000 $(MAKE) --no-print-directory check

# Kills, power cuts, full disks, crowds and damage (docs/promises.md), for about an hour.
MINUTES := 60
torture: packages
	@tools/install-packages check
	@$(MAKE) --no-print-directory all
	@tools/torture $(MINUTES) $(BUILD)

# Every system call of every operation fails once, with each error that it can have.
torture-errors: packages
	@tools/install-packages check
	@$(MAKE) --no-print-directory all
	@COPPICE=$(BUILD)/coppice python3 tests/torture/sweep.py error

# One sync, lock or digest check is left out at a time; a test must notice.
torture-mutants: packages
	@tools/install-packages build check
	@python3 tests/torture/mutants.py build-mutants

# Builders that share a remote, are killed and meet faults, for half an hour.
SECONDS := 1800
check-sharing: packages
	@tools/install-packages check ceph
	@$(MAKE) --no-print-directory all
	@COPPICE_REMOTE_SECONDS=$(SECONDS) python3 tests/remote/test-servers.py $(BUILD)/coppice \
		a_crowd_of_builders_never_leaves_a_name_that_cannot_be_pulled

# Builds and boots the example images: a quarter of an hour, and longer without KVM.
check-images: packages
	@tools/install-packages images
	@$(MAKE) --no-print-directory all
	@tools/check-images

bench: packages
	@tools/install-packages bench
	@$(MAKE) --no-print-directory all
	@bench/run

install: all
	meson install -C $(BUILD) --no-rebuild

packages:
	@tools/install-packages build run

clean:
	rm -rf $(BUILD) $(CHECK) build-threads out
