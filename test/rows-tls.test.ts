import { runRows } from './helpers/rows.ts'
import row11 from './rows/row-11-tls-close.ts'
import row12 from './rows/row-12-tls-handshake.ts'

runRows([row11, row12])
