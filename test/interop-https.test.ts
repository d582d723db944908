import t from 'tap'
import { checkClients } from './interop/check.ts'

t.test('https: no client notices a restart', t => checkClients(t, 'https'))
