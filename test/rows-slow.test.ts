import { runRows } from './helpers/rows.ts'
import row6 from './rows/row-06-slow-reader.ts'
import row10 from './rows/row-10-half-close.ts'

runRows([row6, row10])
