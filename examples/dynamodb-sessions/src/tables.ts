import { ensureTable, terraform } from '@stowage/dynamodb'
import { settings } from './config.ts'

// Creates the tables, or prints their Terraform resources: npm run tables -- --terraform
const { cacheTable, sessionTable, region, endpoint } = settings
for (const table of [cacheTable, sessionTable]) {
  if (process.argv.includes('--terraform')) {
    console.log(terraform({ table }))
  } else {
    await ensureTable({ table, region, endpoint })
    console.log(`${table}: the table exists, with TTL enabled.`)
  }
}
