import { type AttributeNames, attributeNames } from '../dynamodb-options.ts'

export interface TableDefinition {
  readonly table: string
  readonly attributes?: AttributeNames | undefined
}

/** Commands of the AWS CLI that create the table, paid per request, with its TTL. */
export function awsCli({ table, attributes }: TableDefinition): string {
  const { key, ttl } = attributeNames(attributes)
  return `aws dynamodb create-table --table-name ${table} --billing-mode PAY_PER_REQUEST \\
  --attribute-definitions AttributeName=${key},AttributeType=S \\
  --key-schema AttributeName=${key},KeyType=HASH
aws dynamodb wait table-exists --table-name ${table}
aws dynamodb update-time-to-live --table-name ${table} \\
  --time-to-live-specification Enabled=true,AttributeName=${ttl}`
}

/** A CloudFormation template of the table. */
export function cloudFormation({ table, attributes }: TableDefinition): string {
  const { key, ttl } = attributeNames(attributes)
  return `Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: ${table}
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions:
        - { AttributeName: ${key}, AttributeType: S }
      KeySchema:
        - { AttributeName: ${key}, KeyType: HASH }
      TimeToLiveSpecification: { AttributeName: ${ttl}, Enabled: true }`
}

/** A Terraform resource of the table. */
export function terraform({ table, attributes }: TableDefinition): string {
  const { key, ttl } = attributeNames(attributes)
  return `resource "aws_dynamodb_table" "${table.replaceAll(/[^\w-]/g, '_')}" {
  name         = "${table}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "${key}"

  attribute {
    name = "${key}"
    type = "S"
  }

  ttl {
    attribute_name = "${ttl}"
    enabled        = true
  }
}`
}
