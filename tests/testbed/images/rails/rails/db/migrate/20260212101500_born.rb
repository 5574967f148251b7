class Born < ActiveRecord::Migration[6.1]
  def change
    add_column :voters, :born, :integer
  end
end
