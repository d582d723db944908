import { runRows } from './helpers/rows.ts'
import row1 from './rows/row-01-crossing-fin.ts'
import row8 from './rows/row-08-never-closes.ts'
import row9 from './rows/row-09-trickle.ts'
import row13 from './rows/row-13-no-byte.ts'
import row14 from './rows/row-14-half-received.ts'

runRows([row1, row8, row9, row13, row14])
