import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DynamoDBDocumentClient, paginateScan } from '@aws-sdk/lib-dynamodb'
import { settings } from './config.ts'

// Prints the items of the session table. Session IDs are secrets: only their beginning is printed.
const { sessionTable, region, endpoint } = settings
const client = DynamoDBDocumentClient.from(
  new DynamoDBClient({ ...(region && { region }), ...(endpoint && { endpoint }) }),
)
for await (const { Items = [] } of paginateScan({ client }, { TableName: sessionTable })) {
  for (const { key, value, expires_at: seconds } of Items) {
    if (seconds === undefined) continue
    const expires = new Date(seconds * 1_000).toISOString()
    console.log(`${key.slice(0, -24)}… expires ${expires}: ${value}`)
  }
}
client.destroy()
