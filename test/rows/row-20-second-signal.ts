import type { Row } from '../helpers/rows.ts'

const same = 'a signal is the process’s, whatever it serves: see http'

export default {
  number: 20,
  situation: 'second signal; signal while plugins still load; close() before listen()',
  expected: 'hard stop; clean exit; no half-started server',
  elsewhere: { http: 'test/signals-second.test.ts, test/signals-startup.test.ts, test/signals-pid1.test.ts, test/plugin.test.ts' },
  notOn: { https: same, h2c: same, h2: same, allowHTTP1: same }
} satisfies Row
