class Voters < ActiveRecord::Migration[6.1]
  def change
    create_table :voters do |t|
      t.text :name, null: false
    end
  end
end
