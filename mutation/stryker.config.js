// What is mutated, and which tests try to notice. `npm run mutation` runs it, in the root of the project: docs/mutation.md.

/** The life and death of a connection. */
export const files = [
  'lib/drain.ts',
  'lib/connection.ts',
  'lib/connections.ts',
  'lib/close-schedule.ts',
  'lib/exchanges.ts',
  'lib/lingering-close.ts',
  'lib/protocols/goaway.ts',
  'lib/protocols/head.ts',
  'lib/protocols/http1.ts',
  'lib/protocols/http2.ts',
  'lib/protocols/reads.ts',
  'lib/protocols/request-line.ts',
  'lib/protocols/tls.ts',
  'lib/protocols/upgraded.ts',
  'lib/protocols/websocket.ts'
]

// Tests that run the code in their own process, and not for long: each mutant is tried with those that reach it.
const testFiles = [
  'test/lib/{connection,connection-moves,connection-session,connection-upgraded,connections,connections-http2,connections-leave,connections-odd}.test.ts',
  'test/lib/{drain,drain-deadline,idle-closer,last-answers,lingering-close,observer,progress,report}.test.ts',
  'test/lib/{rotation,server,streams,timeline}.test.ts',
  'test/lib/protocols/*.test.ts'
]

export default {
  mutate: files,
  testRunner: 'tap',
  plugins: ['@stryker-mutator/tap-runner'],
  tap: { testFiles, nodeArgs: ['--no-warnings'], forceBail: true },
  coverageAnalysis: 'perTest',
  allowConsoleColors: process.stdout.isTTY === true,
  reporters: process.stdout.isTTY ? ['progress', 'json'] : ['progress-append-only', 'json'],
  jsonReporter: { fileName: '.mutation/report.json' },
  tempDirName: '.mutation/sandbox',
  ignorePatterns: ['.*', 'bench', 'demo', 'dist', 'docs', 'environments', 'examples', 'mutation'],
  // In ms, beyond one and a half times what the tests of a mutant take without it. Longer than the ten seconds that a test itself waits,
  // which then says what it has waited for: this is for code that runs in circles.
  timeoutMS: 15_000
}
