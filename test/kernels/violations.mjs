// Runs each wrong kernel of violations_test.cc under three builds, and says whether those that must notice do.
// Usage: node violations.mjs <plain> <address and undefined> <thread>
import { spawnSync } from "node:child_process";

// Who must notice, and how; '-' where nobody could be asked to. What is noticed beyond that is welcome.
const expectations = {
  //                          plain        address,     thread
  //                                       undefined
  correct: ["nothing", "nothing", "nothing"],
  correct_pipeline: ["nothing", "nothing", "nothing"],
  correct_last_block: ["nothing", "nothing", "nothing"],
  missing_barrier: ["nan", "nan", "race"],
  missing_second_barrier: ["-", "-", "race"],
  missing_syncwarp: ["-", "-", "race"],
  dynamic_shared_overflow: ["violation", "address", "-"],
  static_shared_overflow: ["violation", "address", "-"],
  static_shared_overread: ["nan", "address", "-"],
  uninitialized_shared: ["nan", "nan", "nan"],
  global_overread: ["-", "address", "-"],
  global_overwrite: ["-", "address", "-"],
  barrier_in_branch: ["violation", "violation", "violation"],
  barriers_at_two_lines: ["violation", "violation", "violation"],
  return_before_barrier: ["violation", "violation", "violation"],
  return_before_shuffle: ["violation", "violation", "violation"],
  shuffle_in_branch: ["violation", "violation", "violation"],
  shuffles_at_two_lines: ["violation", "violation", "violation"],
  shuffle_outside_mask: ["violation", "violation", "violation"],
  misaligned_vector: ["violation", "violation", "violation"],
  misaligned_cast: ["-", "undefined", "-"],
  copy_not_waited: ["nan", "nan", "nan"],
  copy_waited_too_late: ["nan", "nan", "nan"],
  copy_never_waited: ["violation", "violation", "violation"],
  copy_without_barrier: ["nan", "nan", "race"],
  copy_beyond_shared: ["violation", "violation", "violation"],
  copy_source_changes: ["violation", "violation", "violation"],
  blocks_race: ["-", "-", "race"],
  last_block_without_fence: ["-", "-", "race"],
  endless_wait: ["violation", "violation", "violation"],
  stack_overflow: ["crash", "address", "crash"],
  nested_launch: ["violation", "violation", "violation"],
  too_many_threads: ["violation", "violation", "violation"],
  too_much_shared: ["violation", "violation", "violation"],
  empty_grid: ["violation", "violation", "violation"],
};

const patterns = [
  ["race", /ThreadSanitizer: data race/],
  ["address", /AddressSanitizer: (?!DEADLYSIGNAL)/],
  ["undefined", /runtime error: /],
  ["violation", /^violation: /m],
  ["nan", /^NaN in the result/m],
  ["wrong", /^wrong result/m],
];

// The thread sanitizer cannot start where addresses are too random.
const startsPlainly = new Map();
function run(executable, name) {
  const start = (prefix) => {
    const [command, ...rest] = [...prefix, executable, name];
    return spawnSync(command, rest, { encoding: "utf8", timeout: 120_000 });
  };
  if (startsPlainly.get(executable) === false) return start(["setarch", "-R"]);
  const result = start([]);
  if (!/ThreadSanitizer: unexpected memory mapping/.test(result.stderr)) return result;
  startsPlainly.set(executable, false);
  return start(["setarch", "-R"]);
}

function verdictsOf({ status, signal, error, stdout, stderr }) {
  if (error) return [`cannot run: ${error.code}`];
  const output = stdout + stderr;
  const verdicts = patterns.filter(([, pattern]) => pattern.test(output)).map(([verdict]) => verdict);
  if (status === 0 && verdicts.length === 0) return ["nothing"];
  if (signal || verdicts.length === 0) verdicts.push("crash");
  return verdicts;
}

const executables = process.argv.slice(2);
if (executables.length !== 3) {
  console.error("usage: node violations.mjs <plain> <address and undefined> <thread>");
  process.exit(2);
}

const listed = spawnSync(executables[0], ["list"], { encoding: "utf8" }).stdout?.split("\n").filter(Boolean) ?? [];
const names = Object.keys(expectations);
const failures = [];
for (const name of listed) if (!names.includes(name)) failures.push(`${name} has no expectation`);

for (const name of names) {
  const columns = executables.map((executable, build) => {
    const verdicts = verdictsOf(run(executable, name));
    const expected = expectations[name][build];
    if (expected !== "-" && !verdicts.includes(expected)) {
      failures.push(`${name}: ${["plain", "address", "thread"][build]} says ${verdicts}, expected ${expected}`);
    }
    return verdicts.join("+");
  });
  console.log(name.padEnd(28) + columns.map((column) => column.padEnd(18)).join(""));
}

for (const failure of failures) console.log(`FAIL ${failure}`);
console.log(`${names.length} kernels, ${failures.length} failures`);
process.exit(failures.length === 0 ? 0 : 1);
