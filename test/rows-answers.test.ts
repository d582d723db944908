import { runRows } from './helpers/rows.ts'
import row19 from './rows/row-19-late-connection.ts'
import row21 from './rows/row-21-backpressure.ts'
import row22 from './rows/row-22-upload.ts'
import row23 from './rows/row-23-no-body.ts'
import row24 from './rows/row-24-http10.ts'

runRows([row19, row21, row22, row23, row24])
