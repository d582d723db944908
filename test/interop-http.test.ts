import t from 'tap'
import { checkClients } from './interop/check.ts'

t.test('http: no client notices a restart', t => checkClients(t, 'http'))
