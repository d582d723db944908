import type { Row } from '../helpers/rows.ts'

const file = 'test/keep-alive-netns.test.ts'

export default {
  number: 7,
  situation: 'peer vanished (link down, packets dropped)',
  expected: 'keepalive or userTimeout reaps it in idle + interval * count; shutdown stays bounded',
  elsewhere: { http: file, https: file, h2c: file },
  notOn: { h2: 'keepalive belongs to TCP: see https and h2c', allowHTTP1: 'keepalive belongs to TCP: see https' }
} satisfies Row
