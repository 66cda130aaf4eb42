// A libnccl.so for tests: it knows its version. FAKE_VERSION is what it says; without it the function is missing.
#ifdef FAKE_VERSION
int ncclGetVersion(int* version) {
  *version = FAKE_VERSION;
  return 0;
}
#endif
