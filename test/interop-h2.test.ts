import t from 'tap'
import { checkClients } from './interop/check.ts'

t.test('secure http2: no client notices a restart, unless it cannot read GOAWAY', t => checkClients(t, 'h2'))
