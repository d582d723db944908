import { runRows } from './helpers/rows.ts'
import row26 from './rows/row-26-crossing-goaway.ts'
import row27 from './rows/row-27-odd-http2-client.ts'

runRows([row26, row27])
