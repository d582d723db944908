import { runRows } from './helpers/rows.ts'
import row15 from './rows/row-15-upgraded.ts'
import row16 from './rows/row-16-right-after-upgrade.ts'
import row17 from './rows/row-17-endless-stream.ts'
import row25 from './rows/row-25-connect.ts'
import row28 from './rows/row-28-late-long-request.ts'

runRows([row15, row16, row17, row25, row28])
