require "rails"
require "active_record/railtie"

# The testbed's URL is every tool's; for Rails that of MySQL has another name.
ENV["DATABASE_URL"] = ENV["DATABASE_URL"]&.sub(/\Amysql:/, "mysql2:")

module Register
  class Application < Rails::Application
    config.load_defaults 6.1
    config.eager_load = true
    # As `rails new` writes it for production.
    config.active_record.dump_schema_after_migration = false
  end
end
