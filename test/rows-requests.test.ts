import { runRows } from './helpers/rows.ts'
import row3 from './rows/row-03-early-413.ts'
import row4 from './rows/row-04-pipelined.ts'
import row5 from './rows/row-05-expect.ts'

runRows([row3, row4, row5])
