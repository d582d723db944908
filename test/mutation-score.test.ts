import t from 'tap'

// The scripts are plain JavaScript, without types.
const script = '../scripts/mutation-score.js'
const { inMarkdown, inWords, outcomes, totals } = await import(script)

const source = 'const a = 1\n  if (a === 1 || a > 2) run()\n'

function mutant (status: string, line: number, [from, to]: [number, number], replacement: string, statusReason?: string) {
  return { status, statusReason, mutatorName: 'Some', replacement, location: { start: { line, column: from }, end: { line, column: to } } }
}

const explained = [
  { file: 'lib/a.ts', line: 'if (a === 1 || a > 2) run()', mutants: ['a > 2 => a >= 2'], why: 'it is never 2' },
  { file: 'lib/a.ts', line: 'const a = 1', mutants: ['1 => 0'], why: 'of old' },
  { file: 'lib/b.ts', line: 'const b = 1', mutants: ['1 => 0'], why: 'not tried this time' }
]

const report = {
  files: {
    'lib/a.ts': {
      source,
      mutants: [
        mutant('Killed', 1, [11, 12], '2', 'it counts: should be equal'),
        mutant('Killed', 2, [7, 14], 'false', 'it waits: timeout!'),
        mutant('Timeout', 2, [7, 14], 'true'),
        mutant('Survived', 2, [18, 23], 'a >= 2'),
        mutant('NoCoverage', 2, [18, 23], 'a\n  <= 2'),
        mutant('RuntimeError', 2, [18, 23], '{}'),
        mutant('Ignored', 2, [18, 23], '""')
      ]
    }
  }
}

t.test('mutants are counted by what became of them, and what could not be run counts for neither side', async t => {
  const { files } = outcomes(report, explained)
  t.same(files, [{
    file: 'lib/a.ts', mutants: 5, killed: 1, timeout: 2, survived: 2, explained: 1, errors: 1, score: 60, scoreOfUnexplained: 75
  }])
  t.same(totals([...files, ...files]), { file: 'all', mutants: 10, killed: 2, timeout: 4, survived: 4, explained: 2, errors: 2, score: 60, scoreOfUnexplained: 75 })
})

t.test('survivors are named with their place and the change, and what an explanation is not needed for any more', async t => {
  const words = inWords(outcomes(report, explained))
  t.same(words.slice(0, 4), [
    'explained  lib/a.ts:2  a > 2  =>  a >= 2  (it is never 2)',
    'untested   lib/a.ts:2  a > 2  =>  a <= 2',
    'needs no explanation any more  lib/a.ts  1 => 0',
    '1 could not be run: the process of the test ended without a failed test'
  ])
  t.match(words.at(-1), /^all +5 +1 +2 +2 +60\.0 % +1 +75\.0 %$/)
})

t.test('in a table a bar of the code is no cell', async t => {
  const page = inMarkdown(outcomes(report, explained), 3)
  t.match(page, '| lib/a.ts | 5 | 1 | 2 | 2 | 60.0 % | 1 | 75.0 % |')
  t.match(page, 'It took 3 minutes.')
  t.match(page, '| lib/a.ts:2 | `if (a === 1 \\|\\| a > 2) run()` | `a > 2 => a >= 2` | it is never 2 |')
})
