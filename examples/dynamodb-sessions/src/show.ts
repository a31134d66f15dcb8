import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DynamoDBDocumentClient, paginateScan } from '@aws-sdk/lib-dynamodb'
import { settings } from './config.ts'

// What is in the table of the sessions, as documents. The ids are secrets: only how they begin is shown.
const { sessionTable, region, endpoint } = settings
const client = DynamoDBDocumentClient.from(
  new DynamoDBClient({ ...(region && { region }), ...(endpoint && { endpoint }) }),
)
for await (const { Items = [] } of paginateScan({ client }, { TableName: sessionTable })) {
  for (const { key, value, expires_at: seconds } of Items) {
    if (seconds === undefined) continue
    const ends = new Date(seconds * 1_000).toISOString()
    console.log(`${key.slice(0, -24)}… until ${ends}: ${value}`)
  }
}
client.destroy()
