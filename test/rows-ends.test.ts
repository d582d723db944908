import { runRows } from './helpers/rows.ts'
import row32 from './rows/row-32-broken-exchanges.ts'
import row33 from './rows/row-33-addresses.ts'

runRows([row32, row33])
