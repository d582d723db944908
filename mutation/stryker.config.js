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

// Tests that run the code in their own process, and not for long: each mutant is tried with those that reach it, in this order, until one
// of them fails. The nearest ones come first.
const testFiles = [
  'test/lib/protocols/{request-line,head,tls,reads,upgraded,websocket,http1,http1-last-answer,http1-discard,http1-half-closed,http2,goaway}.test.ts',
  'test/lib/{lingering-close,connection,connection-moves,connection-upgraded,connection-session}.test.ts',
  'test/lib/{connections,connections-odd,connections-upgraded,connections-leave,connections-http2}.test.ts',
  'test/lib/{drain,drain-deadline,idle-closer,last-answers,observer,progress,report}.test.ts',
  'test/lib/{rotation,server,streams,timeline}.test.ts',
  'test/issues/given-up-at-the-deadline.test.ts'
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
  incrementalFile: '.mutation/incremental.json',
  tempDirName: '.mutation/sandbox',
  ignorePatterns: ['.*', 'bench', 'demo', 'dist', 'docs', 'environments', 'examples', 'mutation'],
  // In ms, beyond one and a half times what the tests of a mutant take without it. Longer than the ten seconds that a test itself waits,
  // which then says what it has waited for: this is for code that runs in circles.
  timeoutMS: 15_000
}
