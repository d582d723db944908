import { runRows } from './helpers/rows.ts'
import row2 from './rows/row-02-unread-request.ts'

runRows([row2], { jobs: 1 })
